// Another mount namespace's root.
#include "sys/process_root.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <thread>

#include "base/format.h"
#include "sys/file.h"

namespace berth::sys {
namespace {

/// On a thread that ends afterwards: it does not come back from where it goes.
Result<UniqueFd> clone_root(const UniqueFd& mounts, const std::string& subject) {
  // setns(2): who shares its root and working directory with others cannot change its mount namespace.
  if (::unshare(CLONE_FS) != 0) return Error::from_errno("unshare", "root directory", errno);
  if (::setns(mounts.get(), CLONE_NEWNS) != 0)
    return Error::from_errno("enter mount namespace of", subject, errno);
  UniqueFd tree(
      static_cast<int>(::syscall(SYS_open_tree, AT_FDCWD, "/", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)));
  if (!tree) return Error::from_errno("clone the root mount of", subject, errno);
  return tree;
}

}  // namespace

Result<UniqueFd> open_root_mount(int pid) {
  const std::string subject = fmt::format("process {}", pid);
  const std::string path = fmt::format("/proc/{}/ns/mnt", pid);
  TRY(UniqueFd mounts, open_file(path.c_str(), O_RDONLY));
  Result<UniqueFd> tree = Error(Kind::Internal, "not asked");
  try {
    std::thread visitor([&] { tree = clone_root(mounts, subject); });
    visitor.join();
  } catch (const std::system_error& error) {
    return failure(Kind::Exhausted, "start a thread: {}", error.what());
  }
  return tree;
}

}  // namespace berth::sys
