// A tmpfs on the host that several containers share, as /dev/shm (docker's --ipc shareable) or as a volume:
// the one kind of mount that berth makes outside a container's own namespace.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace berth::sys {

/// Makes the directory and mounts a tmpfs of `bytes` (mode 1777, nosuid, nodev, noexec) on it; one that is
/// mounted there already is used as it is. Needs CAP_SYS_ADMIN.
Result<void> mount_shared_memory(const std::string& path, int64_t bytes);
/// The same for files that berth itself writes there (secrets): mode 0755, never swapped out where the kernel
/// can promise that (6.4).
Result<void> mount_private_memory(const std::string& path, int64_t bytes);
/// The same with these MOUNT_ATTR_* (read-only, nosuid, nodev, noexec) and parameters ("size=64m,uid=7").
Result<void> mount_memory(const std::string& path, uint64_t attributes, const std::string& parameters);
/// Not mounted, or no such directory: no error.
Result<void> unmount_shared_memory(const std::string& path);

}  // namespace berth::sys
