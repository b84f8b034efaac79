// Mounts of a running container. Paths are resolved beneath the container's root, in its own namespace, so
// that no link in there leads anywhere else.
#include "apps/keeper/mounter.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>

#include <string_view>

#include "launch/executor/beneath.h"
#include "sys/kernel_call.h"

namespace berth::keeper {

namespace call = sys::call;

namespace {

constexpr int kNamespace = 3;
constexpr int kTree = 4;
constexpr int kUsage = 22;  // EINVAL

long attach(int root, std::string_view kind, const char* path) {
  auto make = kind == "file" ? launch::Make::File : launch::Make::Directory;
  long target = launch::make_path_beneath(root, path, make);
  if (target < 0) return target;
  return call::move_mount(kTree, "", static_cast<int>(target), "",
                          MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

long detach(int root, const char* path) {
  constexpr int kDetach = 2;    // MNT_DETACH
  constexpr int kNoFollow = 8;  // UMOUNT_NOFOLLOW
  const char* name = nullptr;
  long parent = launch::open_parent_beneath(root, path, &name);
  if (parent < 0) return parent;
  if (long error = call::change_directory(static_cast<int>(parent)); error < 0) return error;
  return call::unmount(name, kDetach | kNoFollow);
}

}  // namespace

int run_mounter(int argc, char** argv) {
  if (argc < 3) return kUsage;
  std::string_view verb(argv[1]);
  long error = call::enter_namespace(kNamespace, CLONE_NEWNS);
  long root = error < 0 ? error : call::open(AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (root < 0) return static_cast<int>(-root);
  if (verb == "attach" && argc == 4) {
    error = attach(static_cast<int>(root), argv[2], argv[3]);
  } else if (verb == "detach" && argc == 3) {
    error = detach(static_cast<int>(root), argv[2]);
  } else {
    return kUsage;
  }
  return error < 0 ? static_cast<int>(-error) : 0;
}

}  // namespace berth::keeper
