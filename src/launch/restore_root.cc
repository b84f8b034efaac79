// Preparing roots.
#include "launch/restore_root.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "base/format.h"
#include "launch/external_mounts.h"
#include "launch/mount_plan.h"
#include "sys/root_dir.h"

namespace berth::launch {
namespace {

constexpr const char* kOwnNamespace = "/proc/thread-self/ns/mnt";

std::string link_of(int fd) {
  return fmt::format("/proc/self/fd/{}", fd);
}

bool is_cgroup(const spec::Mount& mount) {
  return mount.type == "cgroup" || mount.type == "cgroup2";
}

/// In a filesystem that the container's configuration has anew: its contents are among the images.
bool is_restored_by_criu(const std::string& destination, const spec::RuntimeSpec& spec) {
  return std::ranges::any_of(spec.mounts, [&](const spec::Mount& other) {
    return !is_bind_mount(other) && destination.starts_with(clean_path(other.destination) + "/");
  });
}

Result<sys::UniqueFd> make_place(const sys::RootDir& root, const std::string& destination,
                                 bool is_directory) {
  if (is_directory) {
    TRY(auto made, root.make_dirs(destination, 0755));
    return root.open_path(destination);
  }
  if (root.exists(destination)) return root.open_path(destination);
  size_t slash = destination.rfind('/');
  if (slash > 0) CHECK(root.make_dirs(destination.substr(0, slash), 0755));
  TRY(auto file, root.open(destination, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY, 0644));
  return root.open_path(destination);
}

}  // namespace

Result<PrivateMounts> PrivateMounts::enter() {
  PrivateMounts mounts;
  sys::UniqueFd host;
  TRY(host, sys::open_file(kOwnNamespace, O_RDONLY));
  TRY(mounts.root_, sys::open_file("/", O_PATH | O_DIRECTORY));
  TRY(mounts.directory_, sys::open_file(".", O_PATH | O_DIRECTORY));
  if (::unshare(CLONE_NEWNS) != 0) return Error::from_errno("make a mount namespace", {}, errno);
  mounts.host_ = std::move(host);
  if (::mount(nullptr, "/", nullptr, MS_SLAVE | MS_REC, nullptr) != 0)
    return Error::from_errno("keep mounts from the host", {}, errno);
  return mounts;
}

Result<sys::UniqueFd> PrivateMounts::open_namespace() const {
  return sys::open_file(kOwnNamespace, O_RDONLY);
}

Result<void> PrivateMounts::leave() {
  if (!host_) return {};
  sys::UniqueFd host = std::move(host_);
  bool back = ::setns(host.get(), CLONE_NEWNS) == 0 && ::fchdir(root_.get()) == 0 && ::chroot(".") == 0 &&
              ::fchdir(directory_.get()) == 0;
  if (!back) return Error::from_errno("leave the mount namespace", {}, errno);
  return {};
}

Result<void> mount_restore_root(const std::string& rootfs, const std::string& place,
                                const spec::RuntimeSpec& spec) {
  if (::mount(rootfs.c_str(), place.c_str(), nullptr, MS_BIND | MS_REC, nullptr) != 0)
    return Error::from_errno("mount the root", rootfs, errno);
  if (::mount(nullptr, place.c_str(), nullptr, MS_PRIVATE | MS_REC, nullptr) != 0)
    return Error::from_errno("mount the root", rootfs, errno);
  return make_mount_places(place, spec);
}

Result<void> make_mount_places(const std::string& place, const spec::RuntimeSpec& spec) {
  TRY(auto root, sys::RootDir::open(place));
  std::vector<sys::UniqueFd> bound;
  for (const auto& mount : spec.mounts) {
    std::string destination = clean_path(mount.destination);
    if (is_cgroup(mount) || is_restored_by_criu(destination, spec)) continue;
    bool bind = is_bind_mount(mount);
    struct stat source {};
    if (bind && ::stat(mount.source.c_str(), &source) != 0)
      return Error::from_errno("mount source", mount.source, errno);
    TRY(auto target, make_place(root, destination, !bind || S_ISDIR(source.st_mode)));
    if (!bind) continue;
    // So that places in it can be made.
    if (::mount(mount.source.c_str(), link_of(target.get()).c_str(), nullptr, MS_BIND | MS_REC, nullptr) != 0)
      return Error::from_errno("mount", destination, errno);
    TRY(auto top, root.open_path(destination));
    bound.push_back(std::move(top));
  }
  while (!bound.empty()) {
    if (::umount2(link_of(bound.back().get()).c_str(), MNT_DETACH) != 0)
      return Error::from_errno("take the mount away", {}, errno);
    bound.pop_back();
  }
  return {};
}

}  // namespace berth::launch
