// TreeReader: a directory tree as tar entries, in the order of sorted names, with hard links recognised. Used
// for packing and for copying trees.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "storage/archive.h"
#include "storage/tar_reader.h"
#include "sys/root_dir.h"

namespace berth::storage {

/// What visit() is told about one object of a tree.
struct TreeObject {
  std::string path;  ///< relative to the root, "" for the root
  int parent_fd;     ///< of the directory that holds it (the root itself for the root)
  std::string name;  ///< in parent_fd; "." for the root
  struct stat status;
  /// Path of the first name of the same inode, when this is a further one.
  std::string first_link;
};

class TreeVisitor {
 public:
  virtual ~TreeVisitor() = default;
  /// Returns false to leave out what is below a directory.
  virtual Result<bool> visit(const TreeObject& object) = 0;
};

/// Depth first, each directory before its children, names sorted by bytes. The root itself is not visited.
/// Directories nested deeper than 512: Exhausted. Objects that vanish meanwhile are left out.
Result<void> walk_tree(const sys::RootDir& root, TreeVisitor& visitor, const std::stop_token& stop);

/// Type, owner, mode, time and size of an object as a tar entry without name; sockets have none.
std::optional<TarEntry> entry_of(const struct stat& status);

/// Regions of data of an open file; a single whole one when there are no holes worth keeping.
Result<std::vector<SparseExtent>> data_extents(int fd, uint64_t size);

}  // namespace berth::storage
