// Detached device nodes.
#include "sys/device_node.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>

#include "sys/kernel_call.h"

namespace berth::sys {
namespace {

constexpr char kName[] = "node";

Result<UniqueFd> checked(long value, const char* what) {
  if (value < 0) return Error::from_errno(what, "device node", static_cast<int>(-value));
  return UniqueFd(static_cast<int>(value));
}

}  // namespace

Result<UniqueFd> make_node_mount(const DeviceNode& node) {
  TRY(auto filesystem, checked(call::open_filesystem("tmpfs"), "open filesystem for"));
  long created = call::configure(filesystem.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr);
  if (created < 0)
    return Error::from_errno("create filesystem for", "device node", static_cast<int>(-created));
  TRY(auto mount,
      checked(call::make_mount(filesystem.get(), MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC), "mount"));
  bool made = ::mknodat(mount.get(), kName, node.mode, ::makedev(node.major, node.minor)) == 0 &&
              ::fchownat(mount.get(), kName, node.uid, node.gid, AT_SYMLINK_NOFOLLOW) == 0 &&
              ::fchmodat(mount.get(), kName, node.mode & 07777, 0) == 0;
  if (!made) return Error::from_errno("make", "device node", errno);
  return checked(call::open_tree(mount.get(), kName, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC), "clone");
}

}  // namespace berth::sys
