// CacheSource: what builds elsewhere have made, asked for a step that the engine's own cache does not know.
#pragma once

#include <optional>

#include "base/digest.h"
#include "base/result.h"
#include "build/cache.h"
#include "io/cancel.h"
#include "io/task.h"

namespace berth::build {

class CacheSource {
 public:
  virtual ~CacheSource() = default;
  /// The record of that key with its chain in the snapshotter; none: nobody has it, or it cannot be had any
  /// more. A source that fails is no reason to fail a build.
  virtual io::Task<std::optional<StepRecord>> find(Digest key, io::CancelToken cancel) = 0;
};

}  // namespace berth::build
