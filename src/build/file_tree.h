// FileTree: what COPY, ADD and bind mounts take files from: a build context, a stage's or image's root, a
// download, a heredoc. Paths are absolute and clean ("/a/b"); no link is followed unless resolve() is asked
// to. Safe to use from several threads at once.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "base/result.h"
#include "storage/byte_stream.h"
#include "storage/tar_header.h"
#include "sys/file.h"

namespace berth::build {

enum class FileType { Regular, Directory, Symlink, CharDevice, BlockDevice, Fifo, Socket };

struct FileNode {
  FileType type = FileType::Regular;
  uint32_t mode = 0;  ///< permission bits with set-id and sticky
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint64_t size = 0;
  storage::TarTime mtime;
  std::string link = {};    ///< target of a symbolic link
  uint64_t device = 0;      ///< of device nodes
  uint64_t link_group = 0;  ///< the same number: names of one file; 0: the only name
  std::vector<sys::Xattr> xattrs = {};
};

class FileTree {
 public:
  virtual ~FileTree() = default;
  /// Missing: NotFound.
  virtual Result<FileNode> stat(const std::string& path) const = 0;
  /// Names in a directory, sorted by bytes.
  virtual Result<std::vector<std::string>> list(const std::string& path) const = 0;
  /// SHA-256 of a regular file's content (or, for sparse files, of where its content lies as well).
  virtual Result<Digest> content_digest(const std::string& path) const = 0;
  /// A regular file's content. The tree must outlive the source.
  virtual Result<std::unique_ptr<storage::ByteSource>> read(const std::string& path) const = 0;
  /// Writes a regular file's content to an empty file.
  virtual Result<void> copy_content(const std::string& path, int to_fd) const = 0;

  /// The path that `path` leads to after all links, each taken as within the tree. Too many links:
  /// InvalidArgument; missing: NotFound, worded `"<path>": not found`.
  Result<std::string> resolve(std::string_view path) const;
};

/// "/a" + "b" -> "/a/b"; "/" + "b" -> "/b".
std::string join_path(std::string_view directory, std::string_view name);
/// Last element; "" of "/".
std::string_view base_name(std::string_view path);
/// All but the last element; "/" of "/a".
std::string parent_path(std::string_view path);

}  // namespace berth::build
