// Several layers as one: what `build --squash` makes of a build's layers.
#pragma once

#include <optional>
#include <stop_token>

#include "base/digest.h"
#include "base/result.h"
#include "storage/snapshotter.h"

namespace berth::storage {

/// One layer over `base` (none: an empty root) with the content of all that lie between it and `top`, which
/// stay as they are. What one of them made and a later one removed is not in it. InvalidArgument: `top` does
/// not stand on `base`.
Result<Layer> merge_layers(Snapshotter& snapshotter, const std::optional<Digest>& top,
                           const std::optional<Digest>& base, std::stop_token stop = {});

}  // namespace berth::storage
