// Walking trees by descriptor.
#include "storage/tree_reader.h"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/format.h"
#include "sys/file.h"

namespace berth::storage {
namespace {

/// Each level holds a descriptor.
constexpr int max_depth = 512;
/// Smaller files are written whole, and so are those of which holes are less than half.
constexpr uint64_t min_sparse_size = 1u << 20;

class Walker {
 public:
  Walker(TreeVisitor& visitor, const std::stop_token& stop) : visitor_(visitor), stop_(stop) {}

  Result<void> walk(int dir_fd, const std::string& prefix, int depth) {
    if (depth > max_depth) {
      return failure(Kind::Exhausted, "{}...: directories are nested deeper than {}", prefix.substr(0, 64),
                     max_depth);
    }
    TRY(std::vector<sys::DirEntry> entries, sys::list_dir(dir_fd));
    std::sort(entries.begin(), entries.end(),
              [](const sys::DirEntry& a, const sys::DirEntry& b) { return a.name < b.name; });
    for (const sys::DirEntry& entry : entries) {
      if (stop_.stop_requested()) return Error(Kind::Cancelled, "cancelled");
      CHECK(visit(dir_fd, prefix, entry.name, depth));
    }
    return {};
  }

 private:
  Result<void> visit(int dir_fd, const std::string& prefix, const std::string& name, int depth) {
    TreeObject object{.path = prefix.empty() ? name : prefix + "/" + name, .parent_fd = dir_fd, .name = name};
    if (::fstatat(dir_fd, name.c_str(), &object.status, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) return {};
      return Error::from_errno("stat", object.path, errno);
    }
    bool is_directory = S_ISDIR(object.status.st_mode);
    if (!is_directory && object.status.st_nlink > 1) {
      auto key = std::pair(object.status.st_dev, object.status.st_ino);
      auto [it, is_first] = links_.emplace(key, object.path);
      if (!is_first) object.first_link = it->second;
    }
    TRY(bool descend, visitor_.visit(object));
    if (!is_directory || !descend) return {};
    int child = ::openat(dir_fd, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (child < 0) {
      if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP) return {};
      return Error::from_errno("open", object.path, errno);
    }
    sys::UniqueFd owned(child);
    return walk(child, object.path, depth + 1);
  }

  TreeVisitor& visitor_;
  const std::stop_token& stop_;
  std::map<std::pair<dev_t, ino_t>, std::string> links_;
};

}  // namespace

Result<void> walk_tree(const sys::RootDir& root, TreeVisitor& visitor, const std::stop_token& stop) {
  return Walker(visitor, stop).walk(root.fd(), "", 0);
}

std::optional<TarEntry> entry_of(const struct stat& status) {
  TarEntry entry;
  switch (status.st_mode & S_IFMT) {
    case S_IFREG:
      entry.type = TarType::File;
      break;
    case S_IFDIR:
      entry.type = TarType::Directory;
      break;
    case S_IFLNK:
      entry.type = TarType::Symlink;
      break;
    case S_IFCHR:
      entry.type = TarType::CharDevice;
      break;
    case S_IFBLK:
      entry.type = TarType::BlockDevice;
      break;
    case S_IFIFO:
      entry.type = TarType::Fifo;
      break;
    default:
      return std::nullopt;
  }
  entry.mode = status.st_mode & 07777;
  entry.uid = status.st_uid;
  entry.gid = status.st_gid;
  entry.mtime = {.seconds = status.st_mtim.tv_sec,
                 .nanoseconds = static_cast<uint32_t>(status.st_mtim.tv_nsec)};
  if (entry.type == TarType::File) entry.size = static_cast<uint64_t>(status.st_size);
  if (entry.type == TarType::CharDevice || entry.type == TarType::BlockDevice) {
    entry.major = major(status.st_rdev);
    entry.minor = minor(status.st_rdev);
  }
  return entry;
}

Result<std::vector<SparseExtent>> data_extents(int fd, uint64_t size) {
  std::vector<SparseExtent> whole = {{.offset = 0, .length = size}};
  if (size < min_sparse_size) return whole;
  std::vector<SparseExtent> extents;
  uint64_t data_bytes = 0;
  off_t end = static_cast<off_t>(size);
  for (off_t position = 0; position < end;) {
    off_t data = ::lseek(fd, position, SEEK_DATA);
    if (data < 0 && errno == ENXIO) break;
    if (data < 0 || data >= end) {
      if (data >= end) break;
      return whole;  // the filesystem knows no holes
    }
    off_t hole = ::lseek(fd, data, SEEK_HOLE);
    if (hole < 0) return whole;
    hole = std::min(hole, end);
    extents.push_back({.offset = static_cast<uint64_t>(data), .length = static_cast<uint64_t>(hole - data)});
    data_bytes += static_cast<uint64_t>(hole - data);
    position = hole;
  }
  if (data_bytes > size / 2) return whole;
  return extents;
}

}  // namespace berth::storage
