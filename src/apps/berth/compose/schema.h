// The shape of a Compose file: every key of the Compose specification and what it may hold.
#pragma once

#include "apps/berth/compose/shape.h"

namespace berth::cli::compose {

/// A whole file, in its short forms and in its long ones.
extern const Shape file_shape;
/// Parts of it.
extern const Shape service_shape, network_shape, volume_shape;

}  // namespace berth::cli::compose
