// Route matching.
#include "api/docker/router.h"

#include <algorithm>
#include <charconv>

#include "api/docker/routes_image_care.h"
#include "api/docker/system_json.h"

namespace berth::api {
namespace {

bool take_number(std::string_view& text, int& value) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || value < 0) return false;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return true;
}

/// A "{name*}" takes as much as leaves room for the rest of the pattern behind it.
std::optional<std::vector<std::string>> match_wide(std::string_view pattern, std::string_view path) {
  size_t open = pattern.find('{');
  size_t close = pattern.find('}');
  std::string_view before = pattern.substr(0, open);
  std::string_view after = pattern.substr(close + 1);
  if (path.size() <= before.size() + after.size() || !path.starts_with(before) || !path.ends_with(after)) {
    return std::nullopt;
  }
  return std::vector<std::string>{
      std::string(path.substr(before.size(), path.size() - before.size() - after.size()))};
}

std::string_view take_segment(std::string_view& text) {
  size_t slash = text.find('/');
  std::string_view segment = text.substr(0, slash);
  text.remove_prefix(slash == std::string_view::npos ? text.size() : slash + 1);
  return segment;
}

}  // namespace

std::optional<std::vector<std::string>> match_pattern(std::string_view pattern, std::string_view path) {
  if (pattern.find("*}") != std::string_view::npos) return match_wide(pattern, path);
  std::vector<std::string> captures;
  bool more = true;
  while (more) {
    more = pattern.find('/') != std::string_view::npos;
    if (more != (path.find('/') != std::string_view::npos)) return std::nullopt;
    std::string_view wanted = take_segment(pattern);
    std::string_view given = take_segment(path);
    if (wanted.starts_with('{')) {
      if (given.empty()) return std::nullopt;
      captures.emplace_back(given);
    } else if (wanted != given) {
      return std::nullopt;
    }
  }
  return captures;
}

RouteMatch find_route(std::string_view method, std::string_view wanted) {
  if (wanted.size() > 1 && wanted.ends_with('/')) wanted.remove_suffix(1);  // clients ask for /networks/
  // A container's name as inspect shows it begins with a slash: "/containers//web/json".
  std::string path(wanted);
  path.erase(std::unique(path.begin(), path.end(), [](char a, char b) { return a == '/' && b == '/'; }),
             path.end());
  // Before the containers': "DELETE /containers/web/db" is a link, and takes all that begins so.
  const std::span<const Route> groups[] = {
      checkpoint_routes(),  container_routes(),  container_stream_routes(),
      archive_routes(),     exec_routes(),       image_routes(),
      registry_routes(),    build_routes(),      volume_routes(),
      network_routes(),     system_routes(),     swarm_routes(),
      websocket_routes(),   grpc_routes(),       extension_routes(),
      build_event_routes(), image_care_routes(), image_composition_routes()};
  for (std::span<const Route> group : groups) {
    for (const Route& route : group) {
      if (route.method != method) continue;
      if (auto captures = match_pattern(route.pattern, path)) return {route.handler, std::move(*captures)};
    }
  }
  return {};
}

VersionedPath split_version(std::string_view path) {
  VersionedPath result{newest_version, false, std::string(path)};
  if (!path.starts_with("/v")) return result;
  std::string_view rest = path.substr(2);
  ApiVersion version;
  if (!take_number(rest, version.major) || !rest.starts_with('.')) return result;
  rest.remove_prefix(1);
  if (!take_number(rest, version.minor) || !rest.starts_with('/')) return result;
  return {version, true, std::string(rest)};
}

}  // namespace berth::api
