#include "apps/berth/compose/session.h"

#include <algorithm>
#include <charconv>

#include "apps/berth/compose/request.h"
#include "base/json.h"

namespace berth::cli::compose {
namespace {

using client::Query;

std::string label(const Json& labels, std::string_view key) {
  auto found = labels.find(std::string(key));
  return found != labels.end() && found->is_string() ? found->get<std::string>() : std::string();
}

/// "db:service_healthy:false,cache:service_started:true"
std::map<std::string, std::string> parse_depends(const std::string& text,
                                                 std::set<std::string>& restarts_with) {
  std::map<std::string, std::string> result;
  for (size_t start = 0; start < text.size();) {
    size_t end = std::min(text.find(',', start), text.size());
    std::string item = text.substr(start, end - start);
    size_t colon = item.find(':');
    std::string rest = colon == std::string::npos ? "" : item.substr(colon + 1);
    if (item.ends_with(":true")) restarts_with.insert(item.substr(0, colon));
    if (!item.empty()) result[item.substr(0, colon)] = rest.substr(0, rest.find(':'));
    start = end + 1;
  }
  return result;
}

Result<void> observe_surroundings(const Json& json, Observed& container) {
  const Json* settings = json_member(json, "NetworkSettings");
  const Json* networks = settings == nullptr ? nullptr : json_member(*settings, "Networks");
  if (networks != nullptr && networks->is_object()) {
    for (const auto& [name, endpoint] : networks->items()) {
      container.networks.insert(name);
      TRY(std::string id, json_string(endpoint, "NetworkID"));
      container.networks.insert(id);
    }
  }
  const Json* mounts = json_member(json, "Mounts");
  if (mounts == nullptr || !mounts->is_array()) return {};
  for (const Json& mount : *mounts) {
    TRY(std::string type, json_string(mount, "Type"));
    TRY(std::string name, json_string(mount, "Name"));
    if (type == "volume") container.volumes.insert(name);
  }
  return {};
}

Result<Observed> observed_from(const Json& json) {
  Observed container;
  TRY(container.id, json_string(json, "Id"));
  TRY(auto names, json_strings(json, "Names"));
  for (const std::string& name : names) {
    if (name.find('/', 1) == std::string::npos)
      container.name = name.starts_with('/') ? name.substr(1) : name;
  }
  TRY(container.state, json_string(json, "State"));
  TRY(container.status, json_string(json, "Status"));
  TRY(container.image, json_string(json, "Image"));
  TRY(container.image_id, json_string(json, "ImageID"));
  CHECK(observe_surroundings(json, container));
  const Json* labels = json_member(json, "Labels");
  if (labels == nullptr || !labels->is_object()) return container;
  container.service = label(*labels, label_service);
  container.hash = label(*labels, label_hash);
  container.grants = label(*labels, label_grants);
  container.one_off = label(*labels, label_one_off) == "True";
  container.depends_on = parse_depends(label(*labels, label_depends_on), container.restarts_with);
  std::string number = label(*labels, label_number);
  std::from_chars(number.data(), number.data() + number.size(), container.number);
  return container;
}

}  // namespace

void Reporter::tell_line(std::string_view name, std::string_view what) {
  if (style_.mode == Mode::Quiet) return;
  std::lock_guard lock(mutex_);
  if (style_.mode == Mode::Json)
    out_.line(to_json(Json{{"id", name}, {"text", what}}));
  else
    out_.print("{} {} {}\n", style_.dry_run ? " DRY-RUN MODE - " : "", name, what);
  out_.flush();
}

void Reporter::tell(std::string_view kind, std::string_view name, std::string_view what) {
  if (style_.mode == Mode::Quiet) return;
  std::lock_guard lock(mutex_);
  if (style_.mode == Mode::Json) {
    Json line{{"id", fmt::format("{} {}", kind, name)}, {"status", what}};
    if (style_.dry_run) line["dry-run"] = true;
    out_.line(to_json(line));
  } else {
    out_.print("{} {} {}  {}\n", style_.dry_run ? " DRY-RUN MODE - " : "", kind, name, what);
  }
  out_.flush();
}

void Reporter::warn(std::string_view text) {
  std::lock_guard lock(mutex_);
  out_.print("WARNING: {}\n", text);
  out_.flush();
}

void Reporter::say(std::string_view text) {
  if (style_.mode == Mode::Quiet) return;
  std::lock_guard lock(mutex_);
  out_.line(style_.mode == Mode::Json ? to_json(Json{{"text", text}, {"tail", true}}) : std::string(text));
  out_.flush();
}

void Reporter::debug(std::string_view text) {
  if (style_.verbose) say(text);
}

void Reporter::hook_line(std::string_view container, std::string_view line) {
  if (hook_sink_) return hook_sink_(container, line);
  std::lock_guard lock(mutex_);
  out_.print("{} -> | {}\n", container, line);
  out_.flush();
}

Outcome<client::Reply> call(client::Client& engine, std::string_view method, std::string path, Query query,
                            std::string body) {
  auto reply = engine.call(
      {.method = method, .path = std::move(path), .query = std::move(query), .body = std::move(body)});
  if (!reply && reply.error().http_status == 304) return client::Reply{};
  return reply;
}

Outcome<Json> call_json(client::Client& engine, std::string_view method, std::string path, Query query,
                        std::string body) {
  TRY(auto reply, call(engine, method, std::move(path), std::move(query), std::move(body)));
  if (reply.body.empty()) return Json::object();
  TRY(Json json, parse_json(reply.body, {.max_bytes = 256u << 20}));
  return json;
}

std::string label_filter(const std::string& project, const std::vector<std::string>& more) {
  Json labels = Json::array({fmt::format("{}={}", label_project, project)});
  for (const std::string& one : more) labels.push_back(one);
  return to_json(Json{{"label", labels}});
}

Outcome<std::vector<Observed>> Session::containers(Scope scope) {
  Query query;
  query.add("all", "1").add("filters", label_filter(project.name));
  auto engine = client();
  TRY(Json list, call_json(*engine, "GET", "/containers/json", std::move(query)));
  std::vector<Observed> result;
  for (const Json& item : list) {
    TRY(Observed container, observed_from(item));
    bool wanted = scope == Scope::All || container.one_off == (scope == Scope::OneOffs);
    if (wanted) result.push_back(std::move(container));
  }
  std::sort(result.begin(), result.end(), [](const Observed& a, const Observed& b) {
    return std::tie(a.service, a.number, a.name) < std::tie(b.service, b.number, b.name);
  });
  return result;
}

Outcome<std::vector<Observed>> Session::containers_of(const std::string& service) {
  TRY(auto all, containers());
  std::erase_if(all, [&](const Observed& container) { return container.service != service; });
  return all;
}

Outcome<Observed> Session::container(const std::string& service, int64_t number) {
  if (!project.files.empty()) CHECK(services({service}));
  TRY(auto all, containers_of(service));
  if (number == 0) {
    // One that `run` has made will do where the service itself has none.
    TRY(auto others, containers(Scope::OneOffs));
    for (Observed& other : others)
      if (other.service == service && other.running()) all.push_back(std::move(other));
  }
  for (const Observed& container : all) {
    if (number == 0 ? container.running() : container.number == number) return container;
  }
  if (number == 0 && !all.empty()) return all[0];
  if (number != 0)
    return Failure::plain(fmt::format("service \"{}\" is not running container #{}", service, number));
  return Failure::plain(fmt::format("service \"{}\" is not running", service));
}

Outcome<std::vector<std::string>> Session::services(const std::vector<std::string>& chosen) const {
  if (chosen.empty()) return project.in_order();
  for (const std::string& name : chosen) {
    if (!project.services.contains(name)) return Failure::plain(fmt::format("no such service: {}", name));
  }
  return chosen;
}

Graph Session::graph(const std::set<std::string>& names) const {
  Graph graph;
  for (const std::string& name : names) {
    auto& dependencies = graph[name];
    auto found = project.services.find(name);
    if (found == project.services.end()) continue;
    for (const auto& [other, dependency] : found->second.depends_on) dependencies.insert(other);
  }
  return graph;
}

Outcome<void> Session::along(const std::vector<Observed>& containers, const Graph& graph,
                             const std::function<Outcome<void>(client::Client&, const Observed&)>& work) {
  CHECK(context.engine().negotiate());
  return run_graph(graph, parallel, [&](const std::string& service) -> Outcome<void> {
    auto engine = client();
    for (const Observed& container : containers) {
      if (container.service == service) CHECK(work(*engine, container));
    }
    return {};
  });
}

Graph Session::graph_of(const std::vector<Observed>& containers) {
  Graph graph;
  for (const Observed& container : containers) {
    auto& dependencies = graph[container.service];
    for (const auto& [other, condition] : container.depends_on) {
      if (other != container.service) dependencies.insert(other);
    }
  }
  return graph;
}

}  // namespace berth::cli::compose
