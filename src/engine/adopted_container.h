// Containers that did not begin as such: what a build's step has left becomes one that has ended.
#pragma once

#include <optional>
#include <string>

#include "base/clock.h"
#include "base/digest.h"
#include "base/result.h"
#include "engine/containers.h"
#include "io/task.h"

namespace berth::engine {

class Engine;

struct AdoptedContainer {
  std::string id;                       ///< 64 hex digits, of no container yet
  CreateContainer create;               ///< as for a new one; its image is here
  std::optional<Digest> chain_id = {};  ///< instead of the image's
  std::string upper = {};  ///< what it has written, on the data root's filesystem: moved; or empty
  int exit_code = 0;
  bool oom_killed = false;
  Timestamp started = {};
  Timestamp finished = {};
};

/// The container is there as one that has exited. On failure nothing of it is, and `upper` may be gone.
io::Task<Result<void>> adopt_container(Engine& engine, AdoptedContainer adopted);

}  // namespace berth::engine
