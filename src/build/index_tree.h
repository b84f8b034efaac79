// IndexTree: a tree of files held as an index in memory, with the contents in one spool file (or in a
// directory that is only read). A build context becomes one while it streams in, so that a cached build makes
// no file.
#pragma once

#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "build/file_tree.h"
#include "spec/dockerignore.h"
#include "storage/archive.h"
#include "sys/fd.h"
#include "sys/root_dir.h"

namespace berth::build {

class IndexTree : public FileTree {
 public:
  IndexTree();

  /// Reads a tar, plain or compressed. Contents go to an unnamed file in `spool_directory`. Malformed or
  /// beyond the limits: the error names the entry.
  static Result<std::unique_ptr<IndexTree>> from_tar(storage::ByteSource& archive,
                                                     const std::string& spool_directory,
                                                     const storage::ArchiveLimits& limits,
                                                     std::stop_token stop);
  /// Indexes a directory of the host, which must not change meanwhile. Owners count as 0:0.
  static Result<std::unique_ptr<IndexTree>> from_directory(sys::RootDir directory, size_t max_entries,
                                                           std::stop_token stop);
  /// One file at "/<name>".
  static std::unique_ptr<IndexTree> from_text(const std::string& name, std::string content, uint32_t mode);
  /// One file at "/<name>" with the content of `fd`, whose digest is known.
  static Result<std::unique_ptr<IndexTree>> from_file(const std::string& name, sys::UniqueFd fd,
                                                      const Digest& digest, uint32_t mode,
                                                      storage::TarTime mtime);

  /// Takes out what the patterns exclude (directories stay while something in them does).
  void apply_ignore(const spec::PatternSet& patterns);
  /// A small regular file, links followed. Larger: Exhausted.
  Result<std::string> read_text(std::string_view path, size_t max_bytes) const;
  uint64_t content_bytes() const { return content_bytes_; }

  Result<FileNode> stat(const std::string& path) const override;
  Result<std::vector<std::string>> list(const std::string& path) const override;
  Result<Digest> content_digest(const std::string& path) const override;
  Result<std::unique_ptr<storage::ByteSource>> read(const std::string& path) const override;
  Result<void> copy_content(const std::string& path, int to_fd) const override;

 private:
  friend class TarIndexer;
  friend class DirectoryIndexer;
  struct Node {
    FileNode info;
    std::map<std::string, uint32_t, std::less<>> children = {};
    std::optional<Digest> digest = {};
    uint64_t offset = 0;  ///< in the spool
  };
  std::optional<uint32_t> find(std::string_view path) const;
  Result<const Node*> regular_file(const std::string& path) const;
  Result<sys::UniqueFd> open_host_file(const std::string& path) const;
  bool prune(uint32_t id, const std::string& path, const spec::PatternSet& patterns);

  std::vector<Node> nodes_;  ///< the first is the root
  sys::UniqueFd spool_;
  std::string text_;   ///< instead of a spool
  sys::RootDir host_;  ///< instead of a spool
  bool on_host_ = false;
  uint64_t content_bytes_ = 0;
};

}  // namespace berth::build
