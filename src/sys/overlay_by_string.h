// Overlays for kernels before 6.7, whose overlayfs wants all layers in one string of mount(2), and
// before 6.15, whose overlayfs takes mapped layers only by a path at which they are attached.
#pragma once

#include "base/result.h"
#include "sys/detached_overlay.h"
#include "sys/placed_mounts.h"

namespace berth::sys {

/// A detached mount of `layers`. It stands for a moment in a mount namespace of a thread of its own, where
/// nobody sees it. With `mapping` the owners in all layers are mapped, the upper one included (Linux 5.19).
/// `attributes` are MOUNT_ATTR_*. Needs CAP_SYS_ADMIN.
Result<UniqueFd> mount_overlay_by_string(const OverlayLayers& layers, unsigned attributes,
                                         const OwnerMapping* mapping = nullptr);

}  // namespace berth::sys
