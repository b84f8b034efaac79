// Waiting for containers to be healthy, or to have ended well.
#include "apps/berth/compose/converge.h"

#include "apps/berth/compose/provider.h"
#include "base/clock.h"
#include "base/json.h"

namespace berth::cli::compose {
namespace {

using client::path_of;
using client::Query;

struct Health {
  bool good = false;
  std::string bad;
};

Outcome<Health> health_of(client::Client& engine, const std::string& id, const std::string& name) {
  TRY(Json json, call_json(engine, "GET", path_of("containers", id, "json")));
  const Json* state = json_member(json, "State");
  if (state == nullptr) return Health{};
  TRY(std::string status, json_string(*state, "Status"));
  if (status == "exited" || status == "dead") {
    return Health{
        .bad = fmt::format("container {} exited ({})", name, json_int(*state, "ExitCode").value_or(0))};
  }
  const Json* health = json_member(*state, "Health");
  std::string word = health == nullptr ? "none" : json_string(*health, "Status").value_or("none");
  if (word == "unhealthy") return Health{.bad = fmt::format("container {} is unhealthy", name)};
  return Health{.good = status == "running" && (word == "healthy" || word == "none")};
}

}  // namespace

Outcome<void> wait_until_healthy(client::Client& engine, const std::string& id, const std::string& name,
                                 std::optional<int64_t> deadline) {
  // The stream is open before the first look, so that nothing falls in between.
  Query query;
  query.add("filters",
            to_json(Json{{"container", {id}}, {"event", {"health_status", "die", "start", "destroy"}}}));
  if (deadline) query.add("until", fmt::format("{}", *deadline));
  TRY(auto events, engine.open_answer({.path = "/events", .query = query}));
  while (true) {
    TRY(Health health, health_of(engine, id, name));
    if (!health.bad.empty()) return Failure::plain(health.bad);
    if (health.good) return {};
    TRY(std::string_view piece, events.next());
    if (piece.empty() && deadline)
      return Failure::plain(
          fmt::format("container {} did not get ready in the time of --wait-timeout", name));
    if (piece.empty())
      return Failure::plain(fmt::format("the engine went away while waiting for container {}", name));
  }
}

Outcome<void> Converger::wait_all() {
  TRY(auto containers, session_.containers());
  Graph graph;
  std::map<std::string, Observed> by_name;
  for (const Observed& container : containers) {
    if (!names_.contains(container.service)) continue;
    graph[container.name];
    by_name[container.name] = container;
  }
  std::optional<int64_t> deadline;
  if (options_.wait_timeout) deadline = to_unix_nanoseconds(now()) / 1'000'000'000 + *options_.wait_timeout;
  return run_graph(graph, graph.size(), [&](const std::string& name) -> Outcome<void> {
    auto engine = session_.client();
    session_.report.tell("Container", name, "Waiting");
    CHECK(wait_until_healthy(*engine, by_name[name].id, name, deadline));
    session_.report.tell("Container", name, "Healthy");
    return {};
  });
}

Outcome<void> Converger::await_dependencies(const Service& service, client::Client& engine) {
  for (const auto& [name, dependency] : service.depends_on) {
    if (dependency.condition == "service_started" || !session_.project.services.contains(name)) continue;
    if (is_provided(session_.project.services.at(name))) continue;  // its program has ended well
    TRY(auto containers, session_.containers_of(name));
    if (containers.empty()) {
      if (!dependency.required) continue;
      return Failure::plain(fmt::format("dependency failed to start: service \"{}\" has no container", name));
    }
    for (const Observed& container : containers) {
      session_.report.tell("Container", container.name, "Waiting");
      if (dependency.condition == "service_healthy") {
        if (auto healthy = wait_until_healthy(engine, container.id, container.name); !healthy) {
          if (!dependency.required) {
            session_.report.warn(healthy.error().text());
            continue;
          }
          session_.report.tell("Container", container.name, "Error");
          return Failure::plain(fmt::format("dependency failed to start: {}", healthy.error().text()));
        }
        session_.report.tell("Container", container.name, "Healthy");
        continue;
      }
      TRY(Json ended, call_json(engine, "POST", path_of("containers", container.id, "wait")));
      TRY(int64_t code, json_int(ended, "StatusCode"));
      if (code != 0) {
        std::string text = fmt::format("service \"{}\" didn't complete successfully: exit {}", name, code);
        if (!dependency.required) {
          session_.report.warn(text);
          continue;
        }
        session_.report.tell("Container", container.name, "Error");
        return Failure::plain(text);
      }
      session_.report.tell("Container", container.name, "Exited");
    }
  }
  return {};
}

}  // namespace berth::cli::compose
