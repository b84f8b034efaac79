// Reading a root filesystem as a FileTree.
#include "build/directory_tree.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/format.h"
#include "storage/layer_names.h"

namespace berth::build {
namespace {

FileType type_of(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFDIR:
      return FileType::Directory;
    case S_IFLNK:
      return FileType::Symlink;
    case S_IFCHR:
      return FileType::CharDevice;
    case S_IFBLK:
      return FileType::BlockDevice;
    case S_IFIFO:
      return FileType::Fifo;
    case S_IFSOCK:
      return FileType::Socket;
    default:
      return FileType::Regular;
  }
}

}  // namespace

Result<FileNode> node_of(int fd, std::string_view path) {
  struct stat status {};
  if (::fstat(fd, &status) < 0) return Error::from_errno("stat", path, errno);
  FileNode node{.type = type_of(status.st_mode),
                .mode = status.st_mode & 07777,
                .uid = status.st_uid,
                .gid = status.st_gid,
                .mtime = {status.st_mtim.tv_sec, static_cast<uint32_t>(status.st_mtim.tv_nsec)},
                .device = status.st_rdev};
  if (node.type == FileType::Regular) {
    node.size = static_cast<uint64_t>(status.st_size);
    if (status.st_nlink > 1) node.link_group = status.st_ino;
  }
  if (node.type == FileType::Symlink) {
    node.link.resize(4096);
    const ssize_t length = ::readlinkat(fd, "", node.link.data(), node.link.size());
    if (length < 0) return Error::from_errno("readlink", path, errno);
    node.link.resize(static_cast<size_t>(length));
  }
  auto xattrs = sys::read_xattrs(fd);
  if (!xattrs) return node;
  for (auto& xattr : *xattrs) {
    if (storage::is_portable_xattr(xattr.name)) node.xattrs.push_back(std::move(xattr));
  }
  return node;
}

Result<FileNode> DirectoryTree::stat(const std::string& path) const {
  TRY(auto fd, root_.open_path(path, sys::Follow::No));
  return node_of(fd.get(), path);
}

Result<std::vector<std::string>> DirectoryTree::list(const std::string& path) const {
  TRY(auto directory, root_.open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  TRY(auto entries, sys::list_dir(directory.get()));
  std::vector<std::string> names;
  names.reserve(entries.size());
  for (auto& entry : entries) names.push_back(std::move(entry.name));
  std::sort(names.begin(), names.end());
  return names;
}

Result<sys::UniqueFd> DirectoryTree::open_regular(const std::string& path) const {
  // Without blocking on a FIFO or waking a device that took the file's place.
  TRY(auto fd, root_.open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  struct stat status {};
  if (::fstat(fd.get(), &status) < 0) return Error::from_errno("stat", path, errno);
  if (!S_ISREG(status.st_mode)) return failure(Kind::InvalidArgument, "{} is not a regular file", path);
  return fd;
}

Result<Digest> DirectoryTree::content_digest(const std::string& path) const {
  TRY(auto source, read(path));
  storage::HashingSink sink(nullptr);
  CHECK(storage::copy_stream(*source, sink));
  return sink.finish();
}

Result<std::unique_ptr<storage::ByteSource>> DirectoryTree::read(const std::string& path) const {
  TRY(auto fd, open_regular(path));
  TRY(auto source, storage::FileSource::whole(std::move(fd)));
  return std::unique_ptr<storage::ByteSource>(std::move(source));
}

Result<void> DirectoryTree::copy_content(const std::string& path, int to_fd) const {
  TRY(auto fd, open_regular(path));
  CHECK(sys::copy_content(fd.get(), to_fd));
  return {};
}

}  // namespace berth::build
