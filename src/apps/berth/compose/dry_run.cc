#include "apps/berth/compose/dry_run.h"

#include <array>

#include "base/sha256.h"
#include "spec/reference.h"

namespace berth::cli::compose {
namespace {

using client::Reply;
using client::Request;
using Path = std::span<const std::string>;

Reply reply(unsigned status, const std::string& body = {}) {
  Reply made;
  made.head.status = status;
  made.body = body;
  return made;
}

Reply reply(unsigned status, const Json& body) {
  return reply(status, to_json(body));
}

/// "/containers/ID/start" as its segments.
std::vector<std::string> segments_of(const std::string& path) {
  std::vector<std::string> segments;
  for (size_t start = 1; start <= path.size();) {
    const size_t end = std::min(path.find('/', start), path.size());
    segments.push_back(path.substr(start, end - start));
    start = end + 1;
  }
  return segments;
}

std::string whole_name(const std::string& image) {
  auto parsed = spec::Reference::parse(image);
  if (!parsed) return image;
  const std::string whole = parsed->str();
  return whole.find(':', whole.rfind('/')) == std::string::npos ? whole + ":latest" : whole;
}

/// Names of containers have no letters that a query would encode.
std::string name_in(const Request& request) {
  const std::string query = request.query.str();
  const size_t at = query.find("name=");
  if (at == std::string::npos) return "";
  return query.substr(
      at + 5, query.find('&', at) == std::string::npos ? std::string::npos : query.find('&', at) - at - 5);
}

/// What a container's state is after an action; none: as before.
std::string state_after(std::string_view action) {
  if (action == "start" || action == "restart" || action == "unpause") return "running";
  if (action == "stop" || action == "kill") return "exited";
  return action == "pause" ? "paused" : "";
}

Json inspected(const std::string& id, const std::string& name, const std::string& state, const Json& body) {
  const bool runs = state == "running" || state == "paused";
  return {
      {"Id", id},
      {"Name", "/" + name},
      {"Image", ""},
      {"State", {{"Status", state}, {"Running", runs}, {"ExitCode", 0}, {"Health", {{"Status", "healthy"}}}}},
      {"Config", {{"Labels", body.value("Labels", Json::object())}, {"Tty", false}}},
      {"HostConfig", body.value("HostConfig", Json::object())},
      {"Mounts", Json::array()},
      {"NetworkSettings", {{"Networks", Json::object()}, {"Ports", Json::object()}}}};
}

Json listed(const std::string& id, const std::string& name, const std::string& state, const Json& body) {
  return {{"Id", id},
          {"Names", {"/" + name}},
          {"Image", body.value("Image", "")},
          {"ImageID", ""},
          {"Command", ""},
          {"Created", 0},
          {"State", state},
          {"Status", state},
          {"Ports", Json::array()},
          {"Mounts", Json::array()},
          {"Labels", body.value("Labels", Json::object())},
          {"NetworkSettings", {{"Networks", Json::object()}}}};
}

Failure no_such(std::string_view what, const std::string& name) {
  return Failure::daemon(fmt::format("No such {}: {}", what, name), 404);
}

}  // namespace

void DryRun::assume_image(const std::string& name) {
  std::lock_guard lock(mutex_);
  images_.insert(whole_name(name));
}

DryRun::Answer DryRun::answer(const Request& request, const client::Ask& ask) {
  const auto path = segments_of(request.path);
  std::lock_guard lock(mutex_);
  if (request.method == "GET" || request.method == "HEAD") return read(request, path, ask);
  if (request.method == "DELETE") return remove(path);
  if (request.method == "PUT") return reply(200);
  return post(request, path);
}

DryRun::Answer DryRun::read(const Request& request, Path path, const client::Ask& ask) {
  if (path.size() < 2) return std::nullopt;
  const std::string& name = path[1];
  if (path[0] == "containers" && path.size() == 2 && name == "json") return containers(request, ask);
  if (path[0] == "containers" && path.size() == 3 && path[2] == "json") return container(name, request, ask);
  if (path[0] == "images" && path.back() == "json") {
    const std::string image = request.path.substr(8, request.path.size() - 8 - 5);
    if (!images_.contains(whole_name(image))) return std::nullopt;
    return reply(200, Json{{"Id", sha256(image).str()}, {"Size", 0}, {"Config", Json::object()}});
  }
  for (auto [collection, made] : {std::pair{"networks", &networks_}, {"volumes", &volumes_}}) {
    if (path[0] != collection || path.size() != 2) continue;
    if (auto found = made->find(name); found != made->end()) return reply(200, found->second);
    if (gone_.contains(fmt::format("{}/{}", collection, name))) return no_such(collection, name);
  }
  return std::nullopt;
}

DryRun::Answer DryRun::container(const std::string& id, const Request& request, const client::Ask& ask) {
  const auto state = states_.find(id);
  if (state == states_.end()) return std::nullopt;
  if (state->second == "removed") return no_such("container", id);
  if (auto made = containers_.find(id); made != containers_.end())
    return reply(200, inspected(id, made->second.name, state->second, made->second.body));
  auto real = ask(request);
  if (!real) return real;
  auto json = parse_json(real->body);
  if (!json) return Outcome<Reply>(json.error());
  (*json)["State"]["Status"] = state->second;
  (*json)["State"]["Running"] = state->second == "running" || state->second == "paused";
  return reply(200, *json);
}

DryRun::Answer DryRun::containers(const Request& request, const client::Ask& ask) {
  auto real = ask(request);
  if (!real) return real;
  auto json = parse_json(real->body, {.max_bytes = size_t{256} << 20});
  if (!json) return Outcome<Reply>(json.error());
  Json list = Json::array();
  for (Json& one : *json) {
    const auto state = states_.find(json_string(one, "Id").value_or(""));
    if (state != states_.end() && state->second == "removed") continue;
    if (state != states_.end()) one["State"] = state->second;
    list.push_back(std::move(one));
  }
  for (const auto& [id, made] : containers_) {
    const std::string& state = states_[id];
    if (state != "removed") list.push_back(listed(id, made.name, state, made.body));
  }
  return reply(200, list);
}

DryRun::Answer DryRun::create_container(const Request& request) {
  auto body = parse_json(request.body);
  if (!body) return Outcome<Reply>(body.error());
  const std::string name = name_in(request);
  const std::string id = sha256("dry run of " + name).hex();
  containers_[id] = {.name = name, .body = std::move(*body)};
  states_[id] = "created";
  return reply(201, Json{{"Id", id}, {"Warnings", Json::array()}});
}

DryRun::Answer DryRun::create_resource(const Request& request, std::map<std::string, Json>& made) {
  auto body = parse_json(request.body);
  if (!body) return Outcome<Reply>(body.error());
  const std::string name = json_string(*body, "Name").value_or("");
  (*body)["Id"] = name;
  made[name] = *body;
  return reply(201, *body);
}

DryRun::Answer DryRun::post(const Request& request, Path path) {
  if (path.size() == 2 && path[1] == "create") {
    if (path[0] == "containers") return create_container(request);
    if (path[0] == "networks") return create_resource(request, networks_);
    if (path[0] == "volumes") return create_resource(request, volumes_);
  }
  if (path.size() == 3 && path[0] == "containers") {
    const std::string& id = path[1];
    if (path[2] == "attach")
      return Outcome<Reply>(refuse("interactive run is not supported in dry-run mode"));
    if (path[2] == "exec") return reply(201, Json{{"Id", "dry-run"}});
    if (auto state = state_after(path[2]); !state.empty()) states_[id] = state;
    if (auto made = containers_.find(id); made != containers_.end() && path[2] == "rename")
      made->second.name = name_in(request);
    return path[2] == "wait" ? reply(200, Json{{"StatusCode", 0}}) : reply(204);
  }
  if (path[0] == "exec") return Outcome<Reply>(refuse("interactive exec is not supported in dry-run mode"));
  if (path[0] == "networks" || path[0] == "images" || path[0] == "commit") return reply(200, Json::object());
  return Outcome<Reply>(refuse("{} is not supported in dry-run mode", request.path));
}

DryRun::Answer DryRun::remove(Path path) {
  if (path.size() != 2) return reply(200, Json::array());
  if (path[0] == "containers") states_[path[1]] = "removed";
  networks_.erase(path[1]);
  volumes_.erase(path[1]);
  gone_.insert(path[0] + "/" + path[1]);
  return path[0] == "images" ? reply(200, Json::array()) : reply(204);
}

}  // namespace berth::cli::compose
