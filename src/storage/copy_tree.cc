// copy_tree() and copy_up(): content of one tree into another, file by file.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/format.h"
#include "storage/copy_archive.h"
#include "storage/layer_names.h"
#include "storage/tree_reader.h"
#include "sys/file.h"

namespace berth::storage {
namespace {

class TreeCopier : public TreeVisitor {
 public:
  TreeCopier(const sys::RootDir& to, const CopyTreeOptions& options) : to_(to), options_(options) {}

  Result<bool> visit(const TreeObject& object) override {
    auto copied = copy(object);
    if (!copied) return std::move(copied).error().in("copy", object.path);
    return true;
  }

  Result<void> finish() {
    for (auto it = directories_.rbegin(); it != directories_.rend(); ++it) {
      TRY(sys::UniqueFd directory, to_.open(it->first, O_PATH | O_DIRECTORY | O_NOFOLLOW));
      CHECK(set_times(directory.get(), ".", it->second));
    }
    return {};
  }

 private:
  Result<void> copy(const TreeObject& object) {
    auto [parent_path, name_view] = split_path(object.path);
    std::string name(name_view);
    if (parent_path != parent_path_) {
      TRY(parent_, to_.open(parent_path, O_PATH | O_DIRECTORY));
      parent_path_ = parent_path;
    }
    const struct stat& status = object.status;
    if (S_ISSOCK(status.st_mode)) return {};
    if (!object.first_link.empty()) return link(object.first_link, name);
    switch (status.st_mode & S_IFMT) {
      case S_IFREG:
        return copy_file(object, name);
      case S_IFDIR:
        CHECK(make(name, true, [&] { return ::mkdirat(parent_.get(), name.c_str(), 0700); }));
        break;
      case S_IFLNK:
        CHECK(copy_link(object, name));
        break;
      default:
        CHECK(make(name, false, [&] {
          return ::mknodat(parent_.get(), name.c_str(), status.st_mode & ~07777u, status.st_rdev);
        }));
    }
    CHECK(set_metadata(object, name));
    if (S_ISDIR(status.st_mode)) {
      directories_.emplace_back(object.path, status);
      return {};
    }
    return set_times(parent_.get(), name, status);
  }

  /// Runs `call`; what is in the way is removed, but a directory stays for a directory.
  template <class Call>
  Result<void> make(const std::string& name, bool directory, Call call) {
    if (call() == 0) return {};
    if (errno != EEXIST) return Error::from_errno("create", name, errno);
    struct stat existing {};
    if (::fstatat(parent_.get(), name.c_str(), &existing, AT_SYMLINK_NOFOLLOW) != 0) {
      return Error::from_errno("stat", name, errno);
    }
    if (directory && S_ISDIR(existing.st_mode)) return {};
    CHECK(sys::remove_tree_at(parent_.get(), name));
    if (call() != 0) return Error::from_errno("create", name, errno);
    return {};
  }

  Result<void> link(const std::string& first, const std::string& name) {
    TRY(sys::ParentAndName from, to_.open_parent(first));
    return make(name, false, [&] {
      return ::linkat(from.parent.get(), from.name.c_str(), parent_.get(), name.c_str(), 0);
    });
  }

  Result<void> copy_link(const TreeObject& object, const std::string& name) {
    std::string target(4096, '\0');
    ssize_t length = ::readlinkat(object.parent_fd, object.name.c_str(), target.data(), target.size() - 1);
    if (length < 0) return Error::from_errno("read link", name, errno);
    target.resize(static_cast<size_t>(length));
    return make(name, false, [&] { return ::symlinkat(target.c_str(), parent_.get(), name.c_str()); });
  }

  Result<void> copy_file(const TreeObject& object, const std::string& name) {
    sys::UniqueFd from(
        ::openat(object.parent_fd, object.name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!from && errno == ENOENT) return {};
    if (!from) return Error::from_errno("open", name, errno);
    sys::UniqueFd to;
    CHECK(make(name, false, [&] {
      to.reset(
          ::openat(parent_.get(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
      return to ? 0 : -1;
    }));
    CHECK(sys::copy_content(from.get(), to.get()));
    CHECK(set_metadata(object, name));
    return set_times(parent_.get(), name, object.status);
  }

  Result<void> set_metadata(const TreeObject& object, const std::string& name) {
    uint32_t uid = options_.owner ? options_.owner->uid : object.status.st_uid;
    uint32_t gid = options_.owner ? options_.owner->gid : object.status.st_gid;
    bool owned = ::fchownat(parent_.get(), name.c_str(), uid, gid, AT_SYMLINK_NOFOLLOW) == 0;
    if (!owned && ::geteuid() == 0) return Error::from_errno("chown", name, errno);
    if (!S_ISLNK(object.status.st_mode)) {
      uint32_t mode = options_.mode ? *options_.mode : object.status.st_mode & 07777;
      if (::fchmodat(parent_.get(), name.c_str(), mode, AT_SYMLINK_NOFOLLOW) != 0) {
        return Error::from_errno("chmod", name, errno);
      }
    }
    TRY(std::vector<sys::Xattr> attributes, sys::read_xattrs_at(object.parent_fd, object.name));
    for (const sys::Xattr& attribute : attributes) {
      bool is_mark = attribute.name == opaque_xattr || attribute.name == user_opaque_xattr;
      bool wanted =
          is_portable_xattr(attribute.name) || (is_mark && options_.overlay_marks == OverlayMarks::Keep);
      if (!wanted) continue;
      auto set = sys::set_xattr_at(parent_.get(), name, attribute.name, attribute.value);
      if (!set && set.error().errno_value() != EOPNOTSUPP && set.error().errno_value() != EPERM) return set;
    }
    return {};
  }

  static Result<void> set_times(int parent, const std::string& name, const struct stat& status) {
    timespec times[2] = {status.st_atim, status.st_mtim};
    if (::utimensat(parent, name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) {
      return Error::from_errno("set time", name, errno);
    }
    return {};
  }

  const sys::RootDir& to_;
  const CopyTreeOptions& options_;
  std::string parent_path_ = "\n";
  sys::UniqueFd parent_;
  std::vector<std::pair<std::string, struct stat>> directories_;
};

}  // namespace

Result<void> copy_tree(const sys::RootDir& from, const sys::RootDir& to, const CopyTreeOptions& options) {
  TreeCopier copier(to, options);
  CHECK(walk_tree(from, copier, options.stop));
  return copier.finish();
}

Result<void> copy_up(const sys::RootDir& root, std::string_view path, const sys::RootDir& volume,
                     std::stop_token stop) {
  TRY(std::vector<sys::DirEntry> existing, sys::list_dir(volume.fd()));
  if (!existing.empty()) return {};
  auto source = root.open_dir(path);
  if (!source) {
    int error = source.error().errno_value();
    if (error == ENOENT || error == ENOTDIR || error == ELOOP) return {};
    return std::move(source).error();
  }
  CHECK(copy_tree(*source, volume, {.stop = std::move(stop)}));
  struct stat status {};
  if (::fstat(source->fd(), &status) != 0) return Error::from_errno("stat", path, errno);
  CHECK(volume.chown(".", status.st_uid, status.st_gid));
  return volume.chmod(".", status.st_mode & 07777);
}

}  // namespace berth::storage
