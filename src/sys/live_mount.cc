// Changing the mounts of a running process.
#include "sys/live_mount.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "sys/process.h"

namespace berth::sys {
namespace {

constexpr unsigned kRecursive = 0x8000;  // AT_RECURSIVE

Result<void> set_attributes(const UniqueFd& tree, uint64_t attributes, bool recursive,
                            const std::string& subject) {
  mount_attr attr{};
  attr.attr_set = attributes;
  attr.propagation = 1u << 18;  // MS_PRIVATE
  unsigned flags = AT_EMPTY_PATH | (recursive ? kRecursive : 0u);
  if (::syscall(SYS_mount_setattr, tree.get(), "", flags, &attr, sizeof attr) != 0)
    return Error::from_errno("set attributes of mount", subject, errno);
  return {};
}

Result<void> run_helper(int program, int pid, const UniqueFd* tree, std::vector<std::string> arguments) {
  std::string target = arguments.back();
  std::string path = "/proc/" + std::to_string(pid) + "/ns/mnt";
  TRY(UniqueFd opened, open_file(path.c_str(), O_RDONLY));
  TRY(UniqueFd mounts, clear_of_passed(opened.get()));
  TRY(UniqueFd moved_program, clear_of_passed(program));
  UniqueFd moved_tree;
  SpawnRequest request{
      .program = moved_program.get(), .arguments = {"berth-mount"}, .environment = {}, .fds = {}};
  request.arguments.insert(request.arguments.end(), arguments.begin(), arguments.end());
  request.fds.push_back({mounts.get(), 3});
  if (tree != nullptr) {
    TRY(moved_tree, clear_of_passed(tree->get()));
    request.fds.push_back({moved_tree.get(), 4});
  }
  TRY(pid_t child, spawn_process(request));
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return Error::from_errno("wait for", "berth-mount", errno);
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  int error = WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
  return Error::from_errno(arguments.front() == "attach" ? "mount on" : "unmount", target, error);
}

}  // namespace

Result<UniqueFd> clone_bind(const DetachedBind& bind) {
  unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (bind.recursive ? kRecursive : 0u);
  UniqueFd tree(static_cast<int>(::syscall(SYS_open_tree, AT_FDCWD, bind.source.c_str(), flags)));
  if (!tree) return Error::from_errno("clone the mount at", bind.source, errno);
  CHECK(set_attributes(tree, 0, bind.recursive, bind.source));
  if (bind.read_only)
    CHECK(set_attributes(tree, MOUNT_ATTR_RDONLY, bind.recursive && bind.read_only_recursive, bind.source));
  return tree;
}

Result<UniqueFd> make_detached_tmpfs(const std::vector<std::string>& options) {
  UniqueFd context(static_cast<int>(::syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC)));
  if (!context) return Error::from_errno("fsopen", "tmpfs", errno);
  unsigned attributes = 0;
  for (const std::string& option : options) {
    size_t equals = option.find('=');
    if (option == "noexec") {
      attributes |= MOUNT_ATTR_NOEXEC;
    } else if (option == "nosuid") {
      attributes |= MOUNT_ATTR_NOSUID;
    } else if (option == "nodev") {
      attributes |= MOUNT_ATTR_NODEV;
    } else if (option == "ro") {
      attributes |= MOUNT_ATTR_RDONLY;
    } else if (equals != std::string::npos) {
      std::string key = option.substr(0, equals);
      if (::syscall(SYS_fsconfig, context.get(), FSCONFIG_SET_STRING, key.c_str(),
                    option.c_str() + equals + 1, 0) != 0)
        return Error::from_errno("tmpfs option", option, errno);
    }
  }
  if (::syscall(SYS_fsconfig, context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0)
    return Error::from_errno("create", "tmpfs", errno);
  UniqueFd mount(static_cast<int>(::syscall(SYS_fsmount, context.get(), FSMOUNT_CLOEXEC, attributes)));
  if (!mount) return Error::from_errno("fsmount", "tmpfs", errno);
  return mount;
}

Result<void> attach_in_namespace(int program, int pid, const UniqueFd& tree, const std::string& target) {
  struct stat status {};
  if (::fstat(tree.get(), &status) != 0) return Error::from_errno("stat", target, errno);
  std::string kind = S_ISDIR(status.st_mode) ? "directory" : "file";
  return run_helper(program, pid, &tree, {"attach", kind, target});
}

Result<void> detach_in_namespace(int program, int pid, const std::string& target) {
  return run_helper(program, pid, nullptr, {"detach", target});
}

}  // namespace berth::sys
