// Files on the host's own paths and descriptors: bounded reads, atomic writes, efficient copies, removal of
// trees, extended attributes, directory listings. For paths chosen by others see root_dir.h.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "sys/fd.h"

namespace berth::sys {

/// Whole content. Larger than `max_bytes`: Exhausted. Not a regular file (fifo, device: CVE-2024-9676 hangs
/// on those): InvalidArgument, without blocking; pseudo files of /proc and /sys count as regular.
Result<std::string> read_file(const std::string& path, size_t max_bytes);
Result<std::string> read_file_at(int dir_fd, const std::string& name, size_t max_bytes);
/// From the current position to the end.
Result<std::string> read_fd(int fd, size_t max_bytes);
/// Whole buffer, EINTR and short writes handled.
Result<void> write_all(int fd, std::string_view bytes);
Result<void> pwrite_all(int fd, std::string_view bytes, uint64_t offset);

/// Whether data must be on the disk before the call returns.
enum class Durability { None, Fsync };
/// Writes `path`.tmp-<random> beside the target and renames it over: readers see the old or the new content.
Result<void> write_file_atomic(const std::string& path, std::string_view bytes, mode_t mode = 0644,
                               Durability durability = Durability::None);

/// Copies the whole content: reflink where the filesystem can, else copy_file_range by data extents so that
/// holes stay holes, else read and write. Returns the apparent size. `to` must be empty.
Result<uint64_t> copy_content(int from_fd, int to_fd);

/// mkdir -p on a trusted path.
Result<void> make_dirs(const std::string& path, mode_t mode = 0755);
/// Removes a tree beneath `dir_fd` by descriptor, following no link and crossing no mount (EBUSY). Missing:
/// no error. Clears immutable trees' obstacles only as far as permissions go.
Result<void> remove_tree_at(int dir_fd, const std::string& name);
Result<void> remove_tree(const std::string& path);
/// The same for trees that take long: Cancelled between two entries.
Result<void> remove_tree(const std::string& path, const std::stop_token& stop);
/// Removes what is in the directory, not the directory.
Result<void> remove_contents(int dir_fd);

struct DirEntry {
  std::string name;
  uint8_t type;  ///< DT_REG, DT_DIR, ... or DT_UNKNOWN
  uint64_t inode;
};
/// Without "." and ".."; unsorted.
Result<std::vector<DirEntry>> list_dir(int dir_fd);
Result<std::vector<DirEntry>> list_dir(const std::string& path);

/// Disk use as du counts it: allocated bytes of everything below, hard links once; links not followed.
struct DiskUsage {
  uint64_t allocated_bytes = 0;
  uint64_t apparent_bytes = 0;  ///< sum of st_size of regular files (hard links once) and links
  uint64_t files = 0;
};
Result<DiskUsage> disk_usage_at(int dir_fd, const std::string& name);
Result<DiskUsage> disk_usage(const std::string& path);

struct Xattr {
  std::string name;
  std::string value;
  bool operator==(const Xattr&) const = default;
};
/// Attributes of an open file, sorted by name; none where the filesystem has none. Works on O_PATH
/// descriptors too (through /proc/self/fd).
Result<std::vector<Xattr>> read_xattrs(int fd);
/// Missing: NotFound.
Result<std::string> get_xattr(int fd, const std::string& name);
Result<void> set_xattr(int fd, const std::string& name, std::string_view value);
/// Attributes of dir_fd/name itself, no link followed.
Result<std::vector<Xattr>> read_xattrs_at(int dir_fd, const std::string& name);
Result<std::string> get_xattr_at(int dir_fd, const std::string& name, const std::string& xattr);
Result<void> set_xattr_at(int dir_fd, const std::string& name, const std::string& xattr,
                          std::string_view value);

/// Asks ext2/3/4 to spread the directory's future subdirectories over the disk (chattr +T): what is made in
/// one of them does not have to pass by the inodes just deleted in another, which ext4 skips one by one for
/// minutes. Other filesystems: nothing happens.
void spread_subdirectories(const std::string& path);

Result<void> fsync_fd(int fd);
Result<void> fsync_dir(const std::string& path);

}  // namespace berth::sys
