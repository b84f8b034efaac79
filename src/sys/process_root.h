// What a process that runs has as its root, as a mount of its own: to be read through the very mount that the
// process writes to, without what is mounted below it.
#pragma once

#include "base/result.h"
#include "sys/fd.h"

namespace berth::sys {

/// A detached copy of the mount that is "/" in the mount namespace of `pid`, alone: directories that have
/// mounts on them there are seen as they are below. It keeps the file system while it is open. A thread of
/// its own enters the namespace. Fails with EINVAL where that namespace's user may not part the mounts (a
/// user namespace of its own), with NotFound when the process has ended.
Result<UniqueFd> open_root_mount(int pid);

}  // namespace berth::sys
