// RootDir over openat2(2).
#include "sys/root_dir.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/format.h"
#include "sys/file.h"

namespace berth::sys {
namespace {

/// A rename elsewhere in the tree makes the kernel give up a scoped ".." lookup with EAGAIN; it is to be
/// retried.
constexpr int max_retries = 128;

int open_scoped(int dir_fd, const char* path, int flags, mode_t mode, Scope scope) {
  open_how how{};
  how.flags = static_cast<uint64_t>(flags) | O_CLOEXEC;
  if ((flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE) how.mode = mode;
  how.resolve = RESOLVE_NO_MAGICLINKS | (scope == Scope::InRoot ? RESOLVE_IN_ROOT : RESOLVE_BENEATH);
  for (int attempt = 0;; ++attempt) {
    long fd = ::syscall(SYS_openat2, dir_fd, path, &how, sizeof how);
    if (fd >= 0) return static_cast<int>(fd);
    if (errno != EINTR && (errno != EAGAIN || attempt >= max_retries)) return -1;
  }
}

Result<std::string> checked(std::string_view path) {
  if (path.find('\0') != std::string_view::npos) {
    return Error(Kind::InvalidArgument, "invalid path: contains a NUL byte");
  }
  if (path.empty()) return std::string(".");
  return std::string(path);
}

/// "a/b//c///" -> "a/b//c"; "///" -> "".
std::string_view without_trailing_slashes(std::string_view path) {
  while (!path.empty() && path.back() == '/') path.remove_suffix(1);
  return path;
}

std::string link_of_fd(int fd) {
  return fmt::format("/proc/self/fd/{}", fd);
}

Result<std::string> read_link_at(int dir_fd, const char* name, std::string_view subject) {
  std::string target(256, '\0');
  while (true) {
    ssize_t length = ::readlinkat(dir_fd, name, target.data(), target.size());
    if (length < 0) return Error::from_errno("read link", subject, errno);
    if (static_cast<size_t>(length) < target.size()) {
      target.resize(static_cast<size_t>(length));
      return target;
    }
    target.resize(target.size() * 2);
  }
}

}  // namespace

Result<RootDir> RootDir::open(const std::string& path, Scope scope) {
  TRY(UniqueFd fd, open_file(path.c_str(), O_RDONLY | O_DIRECTORY));
  return RootDir(std::move(fd), scope);
}

Result<RootDir> RootDir::duplicate(Scope scope) const {
  TRY(UniqueFd fd, fd_.duplicate());
  return RootDir(std::move(fd), scope);
}

Result<UniqueFd> RootDir::open(std::string_view path, int flags, mode_t mode) const {
  TRY(std::string name, checked(path));
  int fd = open_scoped(fd_.get(), name.c_str(), flags, mode, scope_);
  if (fd < 0) return Error::from_errno("open", path, errno);
  return UniqueFd(fd);
}

Result<UniqueFd> RootDir::open_path(std::string_view path, Follow follow) const {
  return open(path, O_PATH | (follow == Follow::No ? O_NOFOLLOW : 0));
}

Result<RootDir> RootDir::open_dir(std::string_view path) const {
  TRY(UniqueFd fd, open(path, O_RDONLY | O_DIRECTORY));
  return RootDir(std::move(fd), scope_);
}

Result<ParentAndName> RootDir::open_parent(std::string_view path) const {
  std::string_view trimmed = without_trailing_slashes(path);
  size_t slash = trimmed.rfind('/');
  std::string_view parent =
      slash == std::string_view::npos ? std::string_view(".") : trimmed.substr(0, slash + 1);
  std::string_view name = slash == std::string_view::npos ? trimmed : trimmed.substr(slash + 1);
  if (name.empty() || name == "." || name == "..") {
    // The path names a directory by a way that has no last component of its own: it is its own parent.
    TRY(UniqueFd self, open(path, O_PATH | O_DIRECTORY));
    return ParentAndName{std::move(self), "."};
  }
  TRY(std::string checked_name, checked(name));
  TRY(UniqueFd directory, open(parent, O_PATH | O_DIRECTORY));
  return ParentAndName{std::move(directory), std::move(checked_name)};
}

Result<struct stat> RootDir::stat(std::string_view path, Follow follow) const {
  TRY(UniqueFd fd, open_path(path, follow));
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) return Error::from_errno("stat", path, errno);
  return status;
}

bool RootDir::exists(std::string_view path, Follow follow) const {
  return open_path(path, follow).has_value();
}

Result<std::string> RootDir::readlink(std::string_view path) const {
  TRY(UniqueFd fd, open_path(path, Follow::No));
  return read_link_at(fd.get(), "", path);
}

Result<std::string> RootDir::resolve(std::string_view path, Follow follow) const {
  // The kernel has walked the links; /proc says where both descriptors are, relative to the same mount tree.
  TRY(ParentAndName split, open_parent(path));
  bool whole = follow == Follow::Yes || split.name == ".";
  TRY(UniqueFd target, whole ? open_path(path, follow) : std::move(split.parent).duplicate());
  TRY(std::string root_path, read_link_at(AT_FDCWD, link_of_fd(fd_.get()).c_str(), path));
  TRY(std::string target_path, read_link_at(AT_FDCWD, link_of_fd(target.get()).c_str(), path));
  if (root_path == "/") root_path.clear();
  if (!target_path.starts_with(root_path)) {
    return failure(Kind::InvalidArgument, "resolve {}: leads outside the root", path);
  }
  std::string resolved = target_path.substr(root_path.size());
  if (resolved.empty()) resolved = "/";
  if (resolved.front() != '/')
    return failure(Kind::InvalidArgument, "resolve {}: leads outside the root", path);
  if (!whole) resolved += (resolved.back() == '/' ? "" : "/") + split.name;
  return resolved;
}

Result<void> RootDir::mkdir(std::string_view path, mode_t mode) const {
  TRY(ParentAndName at, open_parent(path));
  if (::mkdirat(at.parent.get(), at.name.c_str(), mode) != 0) return Error::from_errno("mkdir", path, errno);
  return {};
}

Result<RootDir> RootDir::make_dirs(std::string_view path, mode_t mode, uid_t uid, gid_t gid) const {
  TRY(UniqueFd current, open(".", O_PATH | O_DIRECTORY));
  size_t at = 0;
  // Each prefix is resolved from the root, so that ".." and links mean what they mean for open().
  while (at < path.size()) {
    size_t end = std::min(path.find('/', at), path.size());
    std::string_view prefix = path.substr(0, end);
    bool last_component_empty = end == at;
    at = end + 1;
    if (last_component_empty) continue;
    auto opened = open(prefix, O_PATH | O_DIRECTORY);
    if (opened) {
      current = std::move(*opened);
      continue;
    }
    if (opened.error().errno_value() != ENOENT) return std::move(opened).error();
    TRY(ParentAndName split, open_parent(prefix));
    if (::mkdirat(split.parent.get(), split.name.c_str(), mode) == 0) {
      if (::fchownat(split.parent.get(), split.name.c_str(), uid, gid, AT_SYMLINK_NOFOLLOW) != 0 &&
          ::geteuid() == 0) {
        return Error::from_errno("chown", prefix, errno);
      }
      // The process' umask must not decide over modes inside an image.
      if (::fchmodat(split.parent.get(), split.name.c_str(), mode, AT_SYMLINK_NOFOLLOW) != 0) {
        return Error::from_errno("chmod", prefix, errno);
      }
    } else if (errno != EEXIST) {
      return Error::from_errno("mkdir", prefix, errno);
    }
    TRY(current, open(prefix, O_PATH | O_DIRECTORY));
  }
  return RootDir(std::move(current), scope_);
}

Result<void> RootDir::symlink(std::string_view target, std::string_view path) const {
  TRY(std::string text, checked(target));
  TRY(ParentAndName at, open_parent(path));
  if (::symlinkat(text.c_str(), at.parent.get(), at.name.c_str()) != 0) {
    return Error::from_errno("symlink", path, errno);
  }
  return {};
}

Result<void> RootDir::mknod(std::string_view path, mode_t mode, dev_t device) const {
  TRY(ParentAndName at, open_parent(path));
  if (::mknodat(at.parent.get(), at.name.c_str(), mode, device) != 0)
    return Error::from_errno("mknod", path, errno);
  return {};
}

Result<void> RootDir::unlink(std::string_view path) const {
  TRY(ParentAndName at, open_parent(path));
  if (::unlinkat(at.parent.get(), at.name.c_str(), 0) != 0) return Error::from_errno("unlink", path, errno);
  return {};
}

Result<void> RootDir::rmdir(std::string_view path) const {
  TRY(ParentAndName at, open_parent(path));
  if (::unlinkat(at.parent.get(), at.name.c_str(), AT_REMOVEDIR) != 0)
    return Error::from_errno("rmdir", path, errno);
  return {};
}

Result<void> RootDir::remove_all(std::string_view path) const {
  auto at = open_parent(path);
  if (!at) {
    if (at.error().errno_value() == ENOENT) return {};
    return std::move(at).error();
  }
  if (at->name == ".")
    return failure(Kind::InvalidArgument, "remove {}: refusing to remove the root itself", path);
  return remove_tree_at(at->parent.get(), at->name);
}

Result<void> RootDir::rename(std::string_view from, std::string_view to) const {
  TRY(ParentAndName source, open_parent(from));
  TRY(ParentAndName target, open_parent(to));
  if (::renameat(source.parent.get(), source.name.c_str(), target.parent.get(), target.name.c_str()) != 0) {
    return Error::from_errno("rename", from, errno);
  }
  return {};
}

Result<void> RootDir::chown(std::string_view path, uid_t uid, gid_t gid, Follow follow) const {
  TRY(UniqueFd fd, open_path(path, follow));
  if (::fchownat(fd.get(), "", uid, gid, AT_EMPTY_PATH) != 0) return Error::from_errno("chown", path, errno);
  return {};
}

Result<void> RootDir::chmod(std::string_view path, mode_t mode) const {
  TRY(UniqueFd fd, open_path(path, Follow::No));
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) return Error::from_errno("stat", path, errno);
  if (S_ISLNK(status.st_mode)) return Error::from_errno("chmod", path, ELOOP);
  // fchmod refuses O_PATH descriptors; this link leads to the very inode that was opened.
  if (::chmod(link_of_fd(fd.get()).c_str(), mode) != 0) return Error::from_errno("chmod", path, errno);
  return {};
}

}  // namespace berth::sys
