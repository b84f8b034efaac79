// Idmapped copies of mounts.
#include "sys/mapped_tree.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "base/format.h"
#include "sys/file.h"
#include "sys/kernel_call.h"

namespace berth::sys {
namespace {

/// A child that sits in a new user namespace until it is killed. It makes nothing but system calls, so that a
/// program with threads may have one.
class NamespaceHolder {
 public:
  static Result<NamespaceHolder> start() {
    long pid = ::syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, nullptr, nullptr, nullptr, nullptr);
    if (pid < 0) return Error::from_errno("create a user namespace", {}, errno);
    if (pid == 0) {
      while (true) ::syscall(SYS_ppoll, nullptr, 0, nullptr, nullptr, 0);
    }
    return NamespaceHolder(static_cast<pid_t>(pid));
  }

  NamespaceHolder(NamespaceHolder&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
  NamespaceHolder& operator=(NamespaceHolder&&) = delete;
  ~NamespaceHolder() {
    if (pid_ < 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

  std::string file(std::string_view name) const { return fmt::format("/proc/{}/{}", pid_, name); }

 private:
  explicit NamespaceHolder(pid_t pid) : pid_(pid) {}
  pid_t pid_;
};

Result<void> write_map(const std::string& path, const std::string& text) {
  UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file) return Error::from_errno("open", path, errno);
  if (::write(file.get(), text.data(), text.size()) < 0) return Error::from_errno("write", path, errno);
  return {};
}

}  // namespace

Result<UniqueFd> make_user_namespace(const std::string& uid_map, const std::string& gid_map) {
  TRY(NamespaceHolder holder, NamespaceHolder::start());
  CHECK(write_map(holder.file("uid_map"), uid_map));
  CHECK(write_map(holder.file("gid_map"), gid_map));
  std::string path = holder.file("ns/user");
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return Error::from_errno("open", path, errno);
  return fd;
}

Result<UniqueFd> clone_mapped_tree(const std::string& source, TreeDepth depth, int user_namespace,
                                   TreeDepth mapped) {
  unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;
  if (depth == TreeDepth::WithMountsBelow) flags |= AT_RECURSIVE;
  long tree = call::open_tree(AT_FDCWD, source.c_str(), flags);
  if (tree < 0) return Error::from_errno("open mount source", source, static_cast<int>(-tree));
  UniqueFd fd(static_cast<int>(tree));
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_IDMAP;
  attributes.userns_fd = static_cast<uint64_t>(user_namespace);
  unsigned where = AT_EMPTY_PATH | (mapped == TreeDepth::WithMountsBelow ? AT_RECURSIVE : 0);
  if (long error = call::set_mount_attributes(fd.get(), "", where, attributes); error < 0)
    return Error::from_errno("map owners of mount", source, static_cast<int>(-error));
  return fd;
}

}  // namespace berth::sys
