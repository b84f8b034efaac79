// Swarm and plugins, as an engine answers that is in no swarm and has no plugins.
#include "api/docker/router.h"
#include "api/docker/swarm_answer.h"
#include "base/format.h"
#include "base/json.h"

namespace berth::api {
namespace {

using Outcome = io::Task<Result<void>>;

Outcome not_in_swarm(Context& context) {
  Json answer = {{"message", "This node is not part of a swarm"}};
  co_return co_await context.json(503, std::move(answer));
}

Outcome no_swarm(Context& context) {
  Json answer = {{"message", "berth runs one machine and has no swarm: use Kubernetes or Nomad for several"}};
  co_return co_await context.json(503, std::move(answer));
}

Outcome plugins(Context& context) {
  CO_TRY(auto filters, context.filters());
  for (const auto& [name, values] : filters) {
    if (name != "capability" && name != "enabled" && name != "enable")
      co_return failure(Kind::InvalidArgument, "invalid filter '{}'", name.substr(0, 64));
  }
  co_return co_await context.json(200, Json::array());
}

Outcome no_plugin(Context& context) {
  co_return failure(Kind::NotFound, "plugin \"{}\" not found", context.capture().substr(0, 200));
}

Outcome no_plugins(Context&) {
  co_return Error(Kind::Unsupported, "berth has no plugins");
}

constexpr Route routes[] = {
    {"GET", "/swarm", not_a_manager},
    {"GET", "/swarm/unlockkey", not_a_manager},
    {"POST", "/swarm/init", no_swarm},
    {"POST", "/swarm/join", no_swarm},
    {"POST", "/swarm/leave", not_in_swarm},
    {"POST", "/swarm/update", not_a_manager},
    {"POST", "/swarm/unlock", not_a_manager},
    {"GET", "/nodes", not_a_manager},
    {"GET", "/nodes/{id}", not_a_manager},
    {"DELETE", "/nodes/{id}", not_a_manager},
    {"POST", "/nodes/{id}/update", not_a_manager},
    {"GET", "/services", not_a_manager},
    {"POST", "/services/create", not_a_manager},
    {"GET", "/services/{id}", not_a_manager},
    {"DELETE", "/services/{id}", not_a_manager},
    {"POST", "/services/{id}/update", not_a_manager},
    {"GET", "/services/{id}/logs", not_a_manager},
    {"GET", "/tasks", not_a_manager},
    {"GET", "/tasks/{id}", not_a_manager},
    {"GET", "/tasks/{id}/logs", not_a_manager},
    {"GET", "/secrets", not_a_manager},
    {"POST", "/secrets/create", not_a_manager},
    {"GET", "/secrets/{id}", not_a_manager},
    {"DELETE", "/secrets/{id}", not_a_manager},
    {"POST", "/secrets/{id}/update", not_a_manager},
    {"GET", "/configs", not_a_manager},
    {"POST", "/configs/create", not_a_manager},
    {"GET", "/configs/{id}", not_a_manager},
    {"DELETE", "/configs/{id}", not_a_manager},
    {"POST", "/configs/{id}/update", not_a_manager},
    {"GET", "/plugins", plugins},
    {"GET", "/plugins/privileges", no_plugins},
    {"POST", "/plugins/pull", no_plugins},
    {"POST", "/plugins/create", no_plugins},
    {"GET", "/plugins/{name*}/json", no_plugin},
    {"DELETE", "/plugins/{name*}", no_plugin},
    {"POST", "/plugins/{name*}/enable", no_plugin},
    {"POST", "/plugins/{name*}/disable", no_plugin},
    {"POST", "/plugins/{name*}/upgrade", no_plugin},
    {"POST", "/plugins/{name*}/push", no_plugin},
    {"POST", "/plugins/{name*}/set", no_plugin},
};

}  // namespace

io::Task<Result<void>> not_a_manager(Context& context) {
  Json answer = {{"message", not_a_manager_words}};
  co_return co_await context.json(503, std::move(answer));
}

std::span<const Route> swarm_routes() {
  return routes;
}

}  // namespace berth::api
