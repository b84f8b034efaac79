// Device nodes that stand nowhere: made in a filesystem of their own, to be attached where nodes cannot be
// made.
#pragma once

#include <sys/types.h>

#include "base/result.h"
#include "sys/fd.h"

namespace berth::sys {

struct DeviceNode {
  mode_t mode = 0;  ///< with its type
  unsigned major = 0;
  unsigned minor = 0;
  uid_t uid = 0;
  gid_t gid = 0;
};

/// A detached mount (nosuid, noexec) of the node alone. Forbidden for those who may make no nodes.
Result<UniqueFd> make_node_mount(const DeviceNode& node);

}  // namespace berth::sys
