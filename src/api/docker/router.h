// The table of all routes: method and pattern to handler. Each verb group's file contributes its rows.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "api/docker/context.h"
#include "io/task.h"

namespace berth::api {

using Handler = io::Task<Result<void>> (*)(Context& context);

struct Route {
  std::string_view method;
  /// "/containers/{id}/json"; a placeholder matches one segment, "{name*}" any number (image names have '/').
  std::string_view pattern;
  Handler handler;
};

std::span<const Route> container_routes();
std::span<const Route> container_stream_routes();
std::span<const Route> websocket_routes();
std::span<const Route> checkpoint_routes();
std::span<const Route> extension_routes();
std::span<const Route> archive_routes();
std::span<const Route> exec_routes();
std::span<const Route> image_routes();
std::span<const Route> registry_routes();
std::span<const Route> build_routes();
std::span<const Route> build_event_routes();
std::span<const Route> grpc_routes();
std::span<const Route> volume_routes();
std::span<const Route> network_routes();
std::span<const Route> system_routes();
std::span<const Route> swarm_routes();

struct RouteMatch {
  Handler handler = nullptr;
  std::vector<std::string> captures;
};
/// `path` without version prefix. No handler: no route of that method and path. HEAD finds HEAD routes alone.
RouteMatch find_route(std::string_view method, std::string_view path);

/// Takes the captures of a pattern out of a path; nullopt when they do not fit.
std::optional<std::vector<std::string>> match_pattern(std::string_view pattern, std::string_view path);

/// "/v1.43/containers/json" is {1.43, "/containers/json"}; without prefix the newest version.
struct VersionedPath {
  ApiVersion version;
  bool explicit_version = false;
  std::string path;
};
VersionedPath split_version(std::string_view path);

}  // namespace berth::api
