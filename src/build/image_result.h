// From an evaluated plan to an image's configuration: layers, history and times. Pure.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "base/clock.h"
#include "base/digest.h"
#include "build/frontend/plan.h"
#include "build/solver.h"
#include "spec/image.h"

namespace berth::build {

struct ImageContents {
  const spec::ImageConfig& config;          ///< without what is added here
  std::span<const PlannedHistory> history;  ///< to be added
  const std::vector<Digest>& layers;        ///< diff ids of the image's chain, bottom first
};

/// `result` gives evaluated vertices. The image gets the time `created`; none leaves it without (for a digest
/// that must not depend on it). Entries of the history that make no layer have `time_of` their step.
spec::ImageConfig image_config(const ImageContents& contents,
                               const std::function<const RootState&(VertexId)>& result,
                               std::optional<Timestamp> created,
                               const std::function<std::optional<Timestamp>(uint32_t step)>& time_of);

/// What an image is known by in the cache: everything but its times.
Digest image_likeness(const ImageContents& contents, const std::function<const RootState&(VertexId)>& result);

}  // namespace berth::build
