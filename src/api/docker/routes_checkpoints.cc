// /containers/{id}/checkpoints, as docker answers where it is not run in experimental mode.
#include "api/docker/router.h"

namespace berth::api {
namespace {

io::Task<Result<void>> not_experimental(Context&) {
  co_return Error(Kind::Unsupported,
                  "This experimental feature is disabled by default. Start the Docker daemon in experimental "
                  "mode in order to enable it.");
}

constexpr Route routes[] = {
    {"GET", "/containers/{id}/checkpoints", not_experimental},
    {"POST", "/containers/{id}/checkpoints", not_experimental},
    {"DELETE", "/containers/{id}/checkpoints/{checkpoint}", not_experimental},
};

}  // namespace

std::span<const Route> checkpoint_routes() {
  return routes;
}

}  // namespace berth::api
