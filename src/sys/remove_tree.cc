// Removal of directory trees by descriptor: no link is followed, no mount is entered, and neither deep
// nesting nor many entries cost more than a bounded number of descriptors.
#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "base/format.h"
#include "sys/file.h"

namespace berth::sys {
namespace {

/// Below this depth a directory is first moved up to the top of the tree, so that descriptors and stack stay
/// bounded.
constexpr int max_depth = 64;

class TreeRemover {
 public:
  TreeRemover(int top_fd, const std::stop_token& stop) : top_fd_(top_fd), stop_(stop) {}

  /// Until nothing is left, since deep directories come back as entries of the top.
  Result<void> run() {
    do {
      moved_ = false;
      CHECK(empty(top_fd_, 0));
    } while (moved_);
    return {};
  }

 private:
  Result<void> empty(int dir_fd, int depth) {
    auto entries = list_dir(dir_fd);
    // Another thread that removes the same tree may have been faster.
    if (!entries && entries.error().errno_value() == ENOENT) return {};
    if (!entries) return std::move(entries).error();
    for (const DirEntry& entry : *entries) {
      if (stop_.stop_requested()) return Error(Kind::Cancelled, "cancelled");
      CHECK(remove(dir_fd, entry, depth));
    }
    return {};
  }

  Result<void> remove(int dir_fd, const DirEntry& entry, int depth) {
    const char* name = entry.name.c_str();
    if (entry.type != DT_DIR) {
      if (::unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT) return {};
      if (errno != EISDIR && errno != EPERM) return Error::from_errno("remove", entry.name, errno);
      if (entry.type != DT_UNKNOWN) return Error::from_errno("remove", entry.name, errno);
    }
    if (::unlinkat(dir_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT) return {};
    if (errno != ENOTEMPTY && errno != EEXIST) return Error::from_errno("remove", entry.name, errno);
    if (depth >= max_depth) return move_up(dir_fd, name);
    auto child = open_child(dir_fd, name);
    if (!child && child.error().errno_value() == ENOENT) return {};
    if (!child) return std::move(child).error();
    CHECK(empty(child->get(), depth + 1));
    if (::unlinkat(dir_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT) return {};
    return Error::from_errno("remove", entry.name, errno);
  }

  static Result<UniqueFd> open_child(int dir_fd, const char* name) {
    open_how how{};
    how.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    how.resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH;
    int fd = -1;
    do {
      fd = static_cast<int>(::syscall(SYS_openat2, dir_fd, name, &how, sizeof how));
    } while (fd < 0 && (errno == EAGAIN || errno == EINTR));
    // Something is mounted there; what it holds is not ours to remove.
    if (fd < 0 && errno == EXDEV) return Error::from_errno("remove", name, EBUSY);
    if (fd < 0) return Error::from_errno("open", name, errno);
    return UniqueFd(fd);
  }

  Result<void> move_up(int dir_fd, const char* name) {
    std::string target = fmt::format(".removing-{}-{}", ::getpid(), serial_++);
    if (::renameat(dir_fd, name, top_fd_, target.c_str()) != 0)
      return Error::from_errno("rename", name, errno);
    moved_ = true;
    return {};
  }

  int top_fd_;
  const std::stop_token& stop_;
  int serial_ = 0;
  bool moved_ = false;
};

Result<void> remove_at(int dir_fd, const std::string& name, const std::stop_token& stop) {
  if (::unlinkat(dir_fd, name.c_str(), 0) == 0 || errno == ENOENT || errno == ENOTDIR) return {};
  if (errno != EISDIR && errno != EPERM) return Error::from_errno("remove", name, errno);
  int fd = ::openat(dir_fd, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0 && errno == ENOENT) return {};
  if (fd < 0) return Error::from_errno("remove", name, errno);
  UniqueFd directory(fd);
  CHECK(TreeRemover(fd, stop).run());
  if (::unlinkat(dir_fd, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) {
    return Error::from_errno("remove", name, errno);
  }
  return {};
}

}  // namespace

Result<void> remove_contents(int dir_fd) {
  std::stop_token never;
  return TreeRemover(dir_fd, never).run();
}

Result<void> remove_tree_at(int dir_fd, const std::string& name) {
  return remove_at(dir_fd, name, {});
}
Result<void> remove_tree(const std::string& path) {
  return remove_at(AT_FDCWD, path, {});
}
Result<void> remove_tree(const std::string& path, const std::stop_token& stop) {
  return remove_at(AT_FDCWD, path, stop);
}

}  // namespace berth::sys
