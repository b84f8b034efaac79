// RootDir: resolves paths that others chose beneath a directory descriptor, so that no "..", absolute path
// or link in them leads outside (openat2(2), Linux 5.6: RESOLVE_IN_ROOT or RESOLVE_BENEATH, never magic
// links).
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <string>
#include <string_view>

#include "base/result.h"
#include "sys/fd.h"

namespace berth::sys {

/// Whether the last component of a path is followed when it is a symbolic link.
enum class Follow { No, Yes };

/// What a path that points upwards or is absolute means.
enum class Scope {
  InRoot,   ///< "/" and ".." at the top stay at the root, as after chroot(2)
  Beneath,  ///< leaving the root is an error (EXDEV), even if it comes back
};

/// A directory inside the root and the name of something in it; the name holds no '/' and is not "..".
struct ParentAndName {
  UniqueFd parent;
  std::string name;  ///< "." when the path is the root itself
};

class RootDir {
 public:
  RootDir() = default;
  /// Opens a directory by a trusted host path.
  static Result<RootDir> open(const std::string& path, Scope scope = Scope::InRoot);
  /// Takes a directory descriptor (O_PATH is enough for everything but listing it).
  explicit RootDir(UniqueFd fd, Scope scope = Scope::InRoot) : fd_(std::move(fd)), scope_(scope) {}

  int fd() const { return fd_.get(); }
  Scope scope() const { return scope_; }
  Result<RootDir> duplicate(Scope scope) const;

  /// openat2 with `flags` | O_CLOEXEC. `mode` counts with O_CREAT. A path with a NUL is InvalidArgument.
  Result<UniqueFd> open(std::string_view path, int flags, mode_t mode = 0) const;
  /// O_PATH descriptor.
  Result<UniqueFd> open_path(std::string_view path, Follow follow = Follow::Yes) const;
  Result<RootDir> open_dir(std::string_view path) const;
  /// Resolves all but the last component; the last is not looked at and need not exist.
  Result<ParentAndName> open_parent(std::string_view path) const;

  Result<struct stat> stat(std::string_view path, Follow follow = Follow::Yes) const;
  /// False also when a parent is missing or is no directory.
  bool exists(std::string_view path, Follow follow = Follow::Yes) const;
  Result<std::string> readlink(std::string_view path) const;
  /// The path that `path` leads to after all links, absolute within the root ("/usr/lib/x"). The last
  /// component must exist when followed.
  Result<std::string> resolve(std::string_view path, Follow follow = Follow::Yes) const;

  Result<void> mkdir(std::string_view path, mode_t mode) const;
  /// mkdir -p, following links inside the root; returns the directory. What exists keeps its mode and owner.
  Result<RootDir> make_dirs(std::string_view path, mode_t mode, uid_t uid = 0, gid_t gid = 0) const;
  Result<void> symlink(std::string_view target, std::string_view path) const;
  Result<void> mknod(std::string_view path, mode_t mode, dev_t device) const;
  Result<void> unlink(std::string_view path) const;
  Result<void> rmdir(std::string_view path) const;
  /// File or whole tree; nothing there is no error.
  Result<void> remove_all(std::string_view path) const;
  Result<void> rename(std::string_view from, std::string_view to) const;
  Result<void> chown(std::string_view path, uid_t uid, gid_t gid, Follow follow = Follow::No) const;
  /// Follows no link at the end (a link has no mode of its own).
  Result<void> chmod(std::string_view path, mode_t mode) const;

 private:
  UniqueFd fd_;
  Scope scope_ = Scope::InRoot;
};

}  // namespace berth::sys
