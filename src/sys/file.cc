// Reading, writing, copying and listing files. Removal of trees is in remove_tree.cc, attributes in xattr.cc.
#include "sys/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstring>
#include <set>

#include "base/format.h"
#include "base/id.h"

namespace berth::sys {
namespace {

constexpr size_t chunk = 256 * 1024;
constexpr size_t first_chunk = 4 * 1024;
/// Deeper directories are not counted by disk_usage: each level holds a descriptor.
constexpr int max_walk_depth = 512;

Result<UniqueFd> open_regular(int dir_fd, const std::string& name) {
  // Without O_NONBLOCK a fifo in place of the file would block the open itself.
  int fd = ::openat(dir_fd, name.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) return Error::from_errno("open", name, errno);
  UniqueFd file(fd);
  struct stat status {};
  if (::fstat(fd, &status) != 0) return Error::from_errno("stat", name, errno);
  if (!S_ISREG(status.st_mode)) return failure(Kind::InvalidArgument, "read {}: not a regular file", name);
  return file;
}

Result<void> copy_by_reading(int from_fd, int to_fd, off_t offset, off_t end) {
  std::string buffer(chunk, '\0');
  while (offset < end) {
    size_t wanted = std::min<off_t>(static_cast<off_t>(buffer.size()), end - offset);
    ssize_t count = ::pread(from_fd, buffer.data(), wanted, offset);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return Error::from_errno("read", {}, errno);
    if (count == 0) break;
    CHECK(pwrite_all(to_fd, std::string_view(buffer.data(), static_cast<size_t>(count)),
                     static_cast<uint64_t>(offset)));
    offset += count;
  }
  return {};
}

bool unsupported_copy(int error) {
  return error == EXDEV || error == ENOSYS || error == EINVAL || error == EOPNOTSUPP || error == EBADF ||
         error == EPERM || error == ETXTBSY;
}

Result<void> copy_extent(int from_fd, int to_fd, off_t begin, off_t end) {
  off_t in = begin;
  off_t out = begin;
  while (in < end) {
    ssize_t count = ::copy_file_range(from_fd, &in, to_fd, &out, static_cast<size_t>(end - in), 0);
    if (count > 0) continue;
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && !unsupported_copy(errno)) return Error::from_errno("copy", {}, errno);
    return copy_by_reading(from_fd, to_fd, in, end);
  }
  return {};
}

struct UsageWalk {
  DiskUsage total;
  std::set<std::pair<uint64_t, uint64_t>> hard_links;

  void count(const struct stat& status) {
    if (status.st_nlink > 1 && !S_ISDIR(status.st_mode) &&
        !hard_links.emplace(status.st_dev, status.st_ino).second) {
      return;
    }
    total.allocated_bytes += static_cast<uint64_t>(status.st_blocks) * 512;
    if (S_ISREG(status.st_mode) || S_ISLNK(status.st_mode)) {
      total.apparent_bytes += static_cast<uint64_t>(status.st_size);
    }
    ++total.files;
  }

  Result<void> walk(int dir_fd, int depth) {
    TRY(std::vector<DirEntry> entries, list_dir(dir_fd));
    for (const DirEntry& entry : entries) {
      struct stat status {};
      // A container may be running in the tree: what vanishes meanwhile does not count.
      if (::fstatat(dir_fd, entry.name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) continue;
      count(status);
      if (!S_ISDIR(status.st_mode) || depth >= max_walk_depth) continue;
      int child = ::openat(dir_fd, entry.name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
      if (child < 0) continue;
      UniqueFd owned(child);
      CHECK(walk(child, depth + 1));
    }
    return {};
  }
};

}  // namespace

Result<std::string> read_fd(int fd, size_t max_bytes) {
  std::string content;
  size_t used = 0;
  // Most files are small, and memory that is not touched costs nothing.
  size_t step = first_chunk;
  while (true) {
    // One byte more than allowed is asked for, to tell "full" from "too large".
    size_t wanted = std::min(step, max_bytes + 1 - used);
    if (wanted == 0) break;
    step = std::min(2 * step, chunk);
    content.resize(used + wanted);
    ssize_t count = ::read(fd, content.data() + used, wanted);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return Error::from_errno("read", {}, errno);
    used += static_cast<size_t>(count);
    if (count == 0) break;
  }
  if (used > max_bytes) return failure(Kind::Exhausted, "read: larger than the limit of {} bytes", max_bytes);
  content.resize(used);
  return content;
}

Result<std::string> read_file_at(int dir_fd, const std::string& name, size_t max_bytes) {
  TRY(UniqueFd file, open_regular(dir_fd, name));
  auto content = read_fd(file.get(), max_bytes);
  if (!content) return std::move(content).error().in("read", name);
  return content;
}

Result<std::string> read_file(const std::string& path, size_t max_bytes) {
  return read_file_at(AT_FDCWD, path, max_bytes);
}

Result<void> write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t count = ::write(fd, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return Error::from_errno("write", {}, errno);
    bytes.remove_prefix(static_cast<size_t>(count));
  }
  return {};
}

Result<void> pwrite_all(int fd, std::string_view bytes, uint64_t offset) {
  while (!bytes.empty()) {
    ssize_t count = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return Error::from_errno("write", {}, errno);
    bytes.remove_prefix(static_cast<size_t>(count));
    offset += static_cast<uint64_t>(count);
  }
  return {};
}

Result<void> write_file_atomic(const std::string& path, std::string_view bytes, mode_t mode,
                               Durability durability) {
  std::string temporary = path + ".tmp-" + random_hex(8);
  TRY(UniqueFd file, open_file(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL, mode));
  auto write = [&]() -> Result<void> {
    CHECK(write_all(file.get(), bytes));
    // After the content: writing clears set-id bits.
    if (::fchmod(file.get(), mode) != 0) return Error::from_errno("chmod", temporary, errno);
    if (durability == Durability::Fsync) CHECK(fsync_fd(file.get()));
    if (::rename(temporary.c_str(), path.c_str()) != 0) return Error::from_errno("rename", temporary, errno);
    return {};
  };
  if (auto written = write(); !written) {
    ::unlink(temporary.c_str());
    return std::move(written).error().in("write", path);
  }
  if (durability == Durability::Fsync) {
    size_t slash = path.rfind('/');
    return fsync_dir(slash == std::string::npos ? "." : path.substr(0, slash + 1));
  }
  return {};
}

Result<uint64_t> copy_content(int from_fd, int to_fd) {
  struct stat status {};
  if (::fstat(from_fd, &status) != 0) return Error::from_errno("stat", {}, errno);
  uint64_t size = static_cast<uint64_t>(status.st_size);
  if (::ioctl(to_fd, FICLONE, from_fd) == 0) return size;
  off_t end = status.st_size;
  off_t position = 0;
  while (position < end) {
    off_t data = ::lseek(from_fd, position, SEEK_DATA);
    if (data < 0 && errno == ENXIO) break;  // a hole up to the end
    off_t hole = data < 0 ? end : ::lseek(from_fd, data, SEEK_HOLE);
    if (data < 0) data = position;  // the filesystem knows no holes
    if (hole < 0 || hole > end) hole = end;
    CHECK(copy_extent(from_fd, to_fd, data, hole));
    position = hole;
  }
  if (::ftruncate(to_fd, end) != 0) return Error::from_errno("truncate", {}, errno);
  return size;
}

Result<void> make_dirs(const std::string& path, mode_t mode) {
  for (size_t at = 1; at <= path.size(); ++at) {
    if (at != path.size() && path[at] != '/') continue;
    std::string prefix = path.substr(0, at);
    if (::mkdir(prefix.c_str(), mode) == 0 || errno == EEXIST) continue;
    int error = errno;
    struct stat status {};
    if (::stat(prefix.c_str(), &status) == 0 && S_ISDIR(status.st_mode))
      continue;  // read-only filesystem above
    return Error::from_errno("mkdir", prefix, error);
  }
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return Error::from_errno("mkdir", path, errno);
  if (!S_ISDIR(status.st_mode)) return Error::from_errno("mkdir", path, ENOTDIR);
  return {};
}

Result<std::vector<DirEntry>> list_dir(int dir_fd) {
  // Reopened: the caller's may be O_PATH, and its position is shared.
  int fd = ::openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return Error::from_errno("open directory", {}, errno);
  UniqueFd directory(fd);
  std::vector<DirEntry> entries;
  alignas(dirent64) char buffer[32768];
  while (true) {
    long count = ::syscall(SYS_getdents64, fd, buffer, sizeof buffer);
    if (count < 0) return Error::from_errno("list directory", {}, errno);
    if (count == 0) return entries;
    for (long at = 0; at < count;) {
      const auto* entry = reinterpret_cast<const dirent64*>(buffer + at);
      at += entry->d_reclen;
      std::string_view name = entry->d_name;
      if (name == "." || name == "..") continue;
      entries.push_back({std::string(name), entry->d_type, entry->d_ino});
    }
  }
}

Result<std::vector<DirEntry>> list_dir(const std::string& path) {
  TRY(UniqueFd directory, open_file(path.c_str(), O_PATH | O_DIRECTORY));
  auto entries = list_dir(directory.get());
  if (!entries) return std::move(entries).error().in("list", path);
  return entries;
}

Result<DiskUsage> disk_usage_at(int dir_fd, const std::string& name) {
  struct stat status {};
  if (::fstatat(dir_fd, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    return Error::from_errno("stat", name, errno);
  }
  UsageWalk walk;
  walk.count(status);
  if (S_ISDIR(status.st_mode)) {
    int fd = ::openat(dir_fd, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return Error::from_errno("open", name, errno);
    UniqueFd directory(fd);
    CHECK(walk.walk(fd, 0));
  }
  return walk.total;
}

Result<DiskUsage> disk_usage(const std::string& path) {
  return disk_usage_at(AT_FDCWD, path);
}

void spread_subdirectories(const std::string& path) {
  auto directory = open_file(path.c_str(), O_RDONLY | O_DIRECTORY);
  int flags = 0;
  if (!directory || ::ioctl(directory->get(), FS_IOC_GETFLAGS, &flags) != 0) return;
  flags |= FS_TOPDIR_FL;
  (void)::ioctl(directory->get(), FS_IOC_SETFLAGS, &flags);
}

Result<void> fsync_fd(int fd) {
  if (::fsync(fd) != 0) return Error::from_errno("fsync", {}, errno);
  return {};
}

Result<void> fsync_dir(const std::string& path) {
  TRY(UniqueFd directory, open_file(path.c_str(), O_RDONLY | O_DIRECTORY));
  return fsync_fd(directory.get());
}

}  // namespace berth::sys
