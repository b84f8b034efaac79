// User namespaces that exist for their id maps alone, and copies of mounts whose owners they map.
#pragma once

#include <string>

#include "base/result.h"
#include "sys/fd.h"

namespace berth::sys {

/// A user namespace with these maps (lines of uid_map and gid_map) and no process in it. A child lives for a
/// moment.
Result<UniqueFd> make_user_namespace(const std::string& uid_map, const std::string& gid_map);

enum class TreeDepth { MountAlone, WithMountsBelow };

/// A detached copy of the mount at `source`, `depth` deep, with file owners mapped `mapped` deep. Unsupported
/// when the filesystem cannot (its own words: EINVAL).
Result<UniqueFd> clone_mapped_tree(const std::string& source, TreeDepth depth, int user_namespace,
                                   TreeDepth mapped);

}  // namespace berth::sys
