// The shared /dev/shm.
#include "sys/shared_memory.h"

#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cerrno>

namespace berth::sys {
namespace {

bool is_mounted(const std::string& path) {
  struct statfs here {};
  struct stat inside {};
  struct stat parent {};
  bool known = ::statfs(path.c_str(), &here) == 0 && ::stat(path.c_str(), &inside) == 0 &&
               ::stat((path + "/..").c_str(), &parent) == 0;
  return known && here.f_type == TMPFS_MAGIC && inside.st_dev != parent.st_dev;
}

}  // namespace

Result<void> mount_shared_memory(const std::string& path, int64_t bytes) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return Error::from_errno("mkdir", path, errno);
  if (is_mounted(path)) return {};
  std::string options = "mode=1777,size=" + std::to_string(bytes);
  constexpr unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  if (::mount("shm", path.c_str(), "tmpfs", flags, options.c_str()) != 0) {
    return Error::from_errno("mount shared memory on", path, errno);
  }
  return {};
}

Result<void> mount_private_memory(const std::string& path, int64_t bytes) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return Error::from_errno("mkdir", path, errno);
  if (is_mounted(path)) return {};
  std::string options = "mode=0755,size=" + std::to_string(bytes);
  constexpr unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  std::string unswapped = options + ",noswap";
  if (::mount("secrets", path.c_str(), "tmpfs", flags, unswapped.c_str()) == 0) return {};
  if (errno == EINVAL && ::mount("secrets", path.c_str(), "tmpfs", flags, options.c_str()) == 0) return {};
  return Error::from_errno("mount memory on", path, errno);
}

Result<void> mount_memory(const std::string& path, uint64_t attributes, const std::string& parameters) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return Error::from_errno("mkdir", path, errno);
  if (is_mounted(path)) return {};
  // The four have the same values as mount(2)'s flags.
  constexpr uint64_t kFlags = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
  static_assert(kFlags == (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC));
  if (::mount("tmpfs", path.c_str(), "tmpfs", attributes & kFlags, parameters.c_str()) != 0)
    return Error::from_errno("mount memory on", path, errno);
  return {};
}

Result<void> unmount_shared_memory(const std::string& path) {
  if (!is_mounted(path)) return {};
  if (::umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) != 0) {
    return Error::from_errno("unmount", path, errno);
  }
  return {};
}

}  // namespace berth::sys
