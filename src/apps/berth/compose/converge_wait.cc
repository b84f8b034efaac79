// Waiting for containers to be healthy, or to have ended well.
#include "apps/berth/compose/converge.h"

#include <chrono>
#include <thread>

#include "apps/berth/compose/provider.h"
#include "base/clock.h"
#include "base/json.h"

namespace berth::cli::compose {
namespace {

using client::path_of;
using client::Query;

struct Health {
  bool good = false;
  bool has_check = false;
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
  return Health{.good = status == "running" && (word == "healthy" || word == "none"),
                .has_check = word != "none"};
}

/// Nobody can be waited for whose health nobody asks.
Outcome<void> require_check(client::Client& engine, const Observed& container) {
  TRY(Health health, health_of(engine, container.id, container.name));
  if (health.has_check) return {};
  // Perhaps it ends at once, and that is what is to be told.
  if (health.bad.empty()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    TRY(health, health_of(engine, container.id, container.name));
  }
  if (!health.bad.empty()) return Failure::plain(health.bad);
  return Failure::plain(fmt::format("container {} has no healthcheck configured", container.name));
}

}  // namespace

Outcome<void> wait_until_healthy(client::Client& engine, const std::string& id, const std::string& name,
                                 std::optional<int64_t> deadline, Look look) {
  // The stream is open before the first look, so that nothing falls in between.
  Query query;
  query.add("filters",
            to_json(Json{{"container", {id}}, {"event", {"health_status", "die", "start", "destroy"}}}));
  if (deadline) query.add("until", fmt::format("{}", *deadline));
  TRY(auto events, engine.open_answer({.path = "/events", .query = query}));
  while (true) {
    TRY(Health health, health_of(engine, id, name));
    if (!health.bad.empty()) return Failure::plain(health.bad);
    if (health.good && (health.has_check || look == Look::Once)) return {};
    if (health.good) {
      // One that fails at once should be found out: docker's compose, too, looks after half a second.
      std::this_thread::sleep_for(std::chrono::milliseconds(500));
      look = Look::Once;
      continue;
    }
    TRY(std::string_view piece, events.next());
    if (piece.empty() && deadline)
      return Failure::plain(
          fmt::format("application not healthy in the time of --wait-timeout: container {}", name));
    if (piece.empty())
      return Failure::plain(fmt::format("the engine went away while waiting for container {}", name));
  }
}

Outcome<int64_t> wait_for_end(client::Client& engine, const std::string& id, const std::string& name,
                              std::optional<int64_t> deadline) {
  Query query;
  query.add("filters", to_json(Json{{"container", {id}}, {"event", {"die", "destroy"}}}));
  if (deadline) query.add("until", fmt::format("{}", *deadline));
  TRY(auto events, engine.open_answer({.path = "/events", .query = query}));
  while (true) {
    TRY(Json json, call_json(engine, "GET", path_of("containers", id, "json")));
    const Json* state = json_member(json, "State");
    const std::string status = state == nullptr ? "" : json_string(*state, "Status").value_or("");
    if (status == "exited" || status == "dead") return json_int(*state, "ExitCode").value_or(0);
    TRY(std::string_view piece, events.next());
    if (piece.empty() && deadline)
      return Failure::plain(fmt::format("container {} did not end in the time of --wait-timeout", name));
    if (piece.empty())
      return Failure::plain(fmt::format("the engine went away while waiting for container {}", name));
  }
}

/// As docker's compose has it: who is awaited until it has ended well is also awaited so by `up --wait`, or
/// one-shot services would never be ready.
std::string Converger::condition_awaited(const std::string& service) const {
  for (const auto& [name, other] : session_.project.services) {
    auto dependency = other.depends_on.find(service);
    if (names_.contains(name) && dependency != other.depends_on.end() &&
        dependency->second.condition == "service_completed_successfully")
      return "service_completed_successfully";
  }
  return "service_healthy";
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
    const Observed& container = by_name[name];
    session_.report.tell("Container", name, "Waiting");
    const bool is_healthy = condition_awaited(container.service) == "service_healthy";
    if (session_.dry_run()) {
      session_.report.tell("Container", name, is_healthy ? "Healthy" : "Exited");
      return {};
    }
    if (is_healthy) {
      CHECK(wait_until_healthy(*engine, container.id, name, deadline, Look::Twice));
      session_.report.tell("Container", name, "Healthy");
      return {};
    }
    TRY(const int64_t code, wait_for_end(*engine, container.id, name, deadline));
    if (code != 0)
      return Failure::plain(
          fmt::format("service \"{}\" didn't complete successfully: exit {}", container.service, code));
    session_.report.tell("Container", name, "Exited");
    return {};
  });
}

Outcome<void> Converger::await_dependency(const std::string& name, const Service::Dependency& dependency,
                                          const std::vector<Observed>& containers, client::Client& engine) {
  auto optional = [&](const Observed& container, const std::string& why) {
    const std::string reason = fmt::format("optional dependency {}", why);
    session_.report.tell("Container", container.name, "Skipped: " + reason);
  };
  const bool is_healthy = dependency.condition == "service_healthy";
  for (const Observed& container : containers) {
    session_.report.tell("Container", container.name, "Waiting");
    if (session_.dry_run()) {
      session_.report.tell("Container", container.name, is_healthy ? "Healthy" : "Exited");
      continue;
    }
    if (is_healthy) {
      auto healthy = require_check(engine, container);
      if (healthy) healthy = wait_until_healthy(engine, container.id, container.name);
      if (healthy) {
        session_.report.tell("Container", container.name, "Healthy");
      } else if (!dependency.required) {
        optional(container, fmt::format("\"{}\" failed to start: {}", name, healthy.error().text()));
      } else {
        session_.report.tell("Container", container.name, "Error");
        return Failure::plain(fmt::format("dependency failed to start: {}", healthy.error().text()));
      }
      continue;
    }
    TRY(const int64_t code, wait_for_end(engine, container.id, container.name));
    const std::string why = fmt::format("\"{}\" didn't complete successfully: exit {}", name, code);
    if (code == 0) {
      session_.report.tell("Container", container.name, "Exited");
    } else if (!dependency.required) {
      optional(container, why);
    } else {
      session_.report.tell("Container", container.name, "Error");
      return Failure::plain("service " + why);
    }
  }
  return {};
}

Outcome<void> Converger::await_dependencies(const Service& service, client::Client& engine) {
  for (const auto& [name, dependency] : service.depends_on) {
    auto other = session_.project.services.find(name);
    if (dependency.condition == "service_started" || !names_.contains(name)) continue;
    if (is_provided(other->second) || other->second.replicas == 0) continue;  // nothing that could be awaited
    TRY(auto containers, session_.containers_of(name));
    if (containers.empty()) {
      const std::string missing = fmt::format("{} is missing dependency {}", service.name, name);
      if (dependency.required) return Failure::plain(missing);
      session_.report.warn(missing);
    }
    CHECK(await_dependency(name, dependency, containers, engine));
  }
  return {};
}

}  // namespace berth::cli::compose
