// /containers/{id}/checkpoints: refused, as docker does where it is not run in experimental mode (501).
#include "api/docker/router.h"

namespace berth::api {
namespace {

io::Task<Result<void>> not_supported(Context&) {
  co_return Error(
      Kind::Unsupported,
      "checkpoints, which docker has as an experimental feature, are not supported by this engine: "
      "berth-runtime has them, without it or under podman, containerd and docker");
}

constexpr Route routes[] = {
    {"GET", "/containers/{id}/checkpoints", not_supported},
    {"POST", "/containers/{id}/checkpoints", not_supported},
    {"DELETE", "/containers/{id}/checkpoints/{checkpoint}", not_supported},
};

}  // namespace

std::span<const Route> checkpoint_routes() {
  return routes;
}

}  // namespace berth::api
