// DetachedOverlay: an overlay mount that exists only as a descriptor (fsopen, fsconfig, fsmount; "lowerdir+"
// since Linux 6.7, by string before). Closing the descriptor unmounts it; the host's mount table never sees
// it.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "sys/fd.h"
#include "sys/root_dir.h"

namespace berth::sys {

struct OverlayLayers {
  std::vector<std::string> lower;  ///< absolute, top first, at least one
  std::string upper = {};          ///< empty: read-only
  std::string work = {};
  std::vector<std::string> options = {};  ///< "index=off", "volatile", ...
};

/// Mounts and returns the root. Needs CAP_SYS_ADMIN. A single lower without upper gives that directory
/// itself, read-only by contract. Failures carry overlayfs' own message where the kernel gives one.
Result<RootDir> open_detached_overlay(const OverlayLayers& layers);

}  // namespace berth::sys
