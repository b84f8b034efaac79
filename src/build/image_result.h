// From an evaluated plan to an image's configuration: layers, history and times. Pure.
#pragma once

#include <functional>
#include <vector>

#include "base/clock.h"
#include "base/digest.h"
#include "build/frontend/plan.h"
#include "build/solver.h"
#include "spec/image.h"

namespace berth::build {

/// `layers` are the diff ids of the target's chain, bottom first; `result` gives evaluated vertices. Entries
/// that make no layer, and the image itself, get the time `created`; none leaves them without (for a digest
/// that must not depend on it).
spec::ImageConfig image_config(const BuildPlan& plan, const std::vector<Digest>& layers,
                               const std::function<const RootState&(VertexId)>& result,
                               std::optional<Timestamp> created);

}  // namespace berth::build
