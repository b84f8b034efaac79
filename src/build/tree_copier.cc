// Writing files, directories, links and nodes with their attributes.
#include "build/tree_copier.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/format.h"

namespace berth::build {
namespace {

std::array<timespec, 2> times_of(const FileNode& node) {
  const timespec time{static_cast<time_t>(node.mtime.seconds), static_cast<long>(node.mtime.nanoseconds)};
  return {time, time};
}

Error failed(std::string_view operation, std::string_view subject) {
  return Error::from_errno(operation, subject, errno);
}

}  // namespace

TreeCopier::TreeCopier(const FileTree& tree, const sys::RootDir& directory, CopyAttributes attributes)
    : tree_(tree), attributes_(std::move(attributes)) {
  auto fd = directory.open(".", O_RDONLY | O_DIRECTORY);
  if (!fd) {
    open_error_ = std::move(fd).error();
    return;
  }
  open_.push_back({"", std::move(*fd), {}});
}

Result<void> TreeCopier::copy(const std::string& path, const std::string& relative, const FileNode& node) {
  if (open_error_) return *open_error_;
  TRY(const int parent, open_parent(relative));
  const std::string name(base_name(relative));
  if (node.type == FileType::Directory) return make_directory(parent, name, relative, node);
  CHECK(clear_target(parent, name, relative));
  switch (node.type) {
    case FileType::Regular:
      return make_file(parent, name, path, node);
    case FileType::Symlink:
      return make_symlink(parent, name, node);
    default:
      return make_node(parent, name, node);
  }
}

/// The directory that holds `relative`: entries come depth first, so it is one of those that are open.
Result<int> TreeCopier::open_parent(const std::string& relative) {
  const size_t slash = relative.rfind('/');
  const std::string_view wanted =
      std::string_view(relative).substr(0, slash == std::string::npos ? 0 : slash);
  while (open_.back().relative != wanted) {
    if (open_.size() == 1) return failure(Kind::Internal, "{} came before its directory", relative);
    CHECK(close_directory());
  }
  return open_.back().fd.get();
}

/// A directory's time is set last: writing into it has changed it.
Result<void> TreeCopier::close_directory() {
  const OpenDirectory directory = std::move(open_.back());
  open_.pop_back();
  if (::futimens(directory.fd.get(), times_of(directory.node).data()) < 0)
    return failed("set time", directory.relative);
  return {};
}

Result<void> TreeCopier::finish() {
  if (open_error_) return *open_error_;
  while (open_.size() > 1) CHECK(close_directory());
  return {};
}

Result<void> TreeCopier::clear_target(int parent, const std::string& name, const std::string& relative) {
  struct stat status {};
  if (::fstatat(parent, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) < 0) {
    return errno == ENOENT ? Result<void>() : Result<void>(failed("stat", relative));
  }
  if (S_ISDIR(status.st_mode)) {
    return failure(Kind::InvalidArgument, "cannot replace to directory {} with file", relative);
  }
  if (::unlinkat(parent, name.c_str(), 0) < 0) return failed("replace", relative);
  return {};
}

OwnerIds TreeCopier::owner_of(const FileNode& node) const {
  if (attributes_.owner) return *attributes_.owner;
  return attributes_.keep_owner ? OwnerIds{node.uid, node.gid} : OwnerIds{};
}

uint32_t TreeCopier::mode_of(const FileNode& node) const {
  const uint32_t mode = attributes_.mode.value_or(node.mode);
  return attributes_.chmod ? attributes_.chmod->apply(mode, node.type == FileType::Directory) : mode;
}

Result<void> TreeCopier::set_attributes(int fd, const std::string& name, const FileNode& node) {
  // Owner before mode: chown(2) clears the set-id bits.
  const OwnerIds owner = owner_of(node);
  if (::fchown(fd, owner.uid, owner.gid) < 0) return failed("chown", name);
  if (::fchmod(fd, mode_of(node)) < 0) return failed("chmod", name);
  for (const auto& xattr : node.xattrs) {
    auto set = sys::set_xattr(fd, xattr.name, xattr.value);
    // Where the filesystem takes no such attribute the file is copied without it, as docker does.
    if (!set && set.error().errno_value() != EOPNOTSUPP && set.error().errno_value() != EPERM) return set;
  }
  return {};
}

Result<void> TreeCopier::make_directory(int parent, const std::string& name, const std::string& relative,
                                        const FileNode& node) {
  struct stat status {};
  const bool exists = ::fstatat(parent, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0;
  if (exists && !S_ISDIR(status.st_mode)) {
    return failure(Kind::InvalidArgument, "cannot copy to non-directory: {}", relative);
  }
  if (!exists && ::mkdirat(parent, name.c_str(), 0700) < 0) return failed("mkdir", relative);
  sys::UniqueFd fd(::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return failed("open", relative);
  CHECK(set_attributes(fd.get(), relative, node));
  open_.push_back({relative, std::move(fd), node});
  return {};
}

/// True when the file was linked to an earlier copy of the same.
Result<bool> TreeCopier::make_hard_link(int parent, const std::string& name, const FileNode& node) {
  const auto first = node.link_group == 0 ? linked_.end() : linked_.find(node.link_group);
  if (first == linked_.end()) return false;
  const std::string by_fd = fmt::format("/proc/self/fd/{}", first->second.get());
  if (::linkat(AT_FDCWD, by_fd.c_str(), parent, name.c_str(), AT_SYMLINK_FOLLOW) == 0) return true;
  if (errno == EMLINK) return false;
  return failed("link", name);
}

Result<void> TreeCopier::make_file(int parent, const std::string& name, const std::string& path,
                                   const FileNode& node) {
  TRY(const bool linked, make_hard_link(parent, name, node));
  if (linked) return {};
  sys::UniqueFd fd(::openat(parent, name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd) return failed("create", name);
  CHECK(tree_.copy_content(path, fd.get()));
  CHECK(set_attributes(fd.get(), name, node));
  if (::futimens(fd.get(), times_of(node).data()) < 0) return failed("set time", name);
  // Descriptors are bounded: what does not fit is copied again instead of linked.
  constexpr size_t most_link_groups = 256;
  if (node.link_group != 0 && linked_.size() < most_link_groups)
    linked_.emplace(node.link_group, std::move(fd));
  return {};
}

Result<void> TreeCopier::make_symlink(int parent, const std::string& name, const FileNode& node) {
  if (::symlinkat(node.link.c_str(), parent, name.c_str()) < 0) return failed("symlink", name);
  const OwnerIds owner = owner_of(node);
  if (::fchownat(parent, name.c_str(), owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW) < 0)
    return failed("chown", name);
  if (::utimensat(parent, name.c_str(), times_of(node).data(), AT_SYMLINK_NOFOLLOW) < 0)
    return failed("set time", name);
  return {};
}

Result<void> TreeCopier::make_node(int parent, const std::string& name, const FileNode& node) {
  mode_t type = S_IFIFO;
  if (node.type == FileType::Socket) type = S_IFSOCK;
  if (node.type == FileType::CharDevice) type = S_IFCHR;
  if (node.type == FileType::BlockDevice) type = S_IFBLK;
  const bool is_device = type == S_IFCHR || type == S_IFBLK;
  // 0/0 is overlayfs' mark for a deleted file.
  if (is_device && node.device == 0)
    return failure(Kind::InvalidArgument, "{}: device 0/0 cannot be copied", name);
  if (::mknodat(parent, name.c_str(), type | 0600, is_device ? node.device : 0) < 0)
    return failed("mknod", name);
  const OwnerIds owner = owner_of(node);
  if (::fchownat(parent, name.c_str(), owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW) < 0)
    return failed("chown", name);
  if (::fchmodat(parent, name.c_str(), mode_of(node), 0) < 0) return failed("chmod", name);
  if (::utimensat(parent, name.c_str(), times_of(node).data(), AT_SYMLINK_NOFOLLOW) < 0)
    return failed("set time", name);
  return {};
}

}  // namespace berth::build
