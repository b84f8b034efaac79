// DirectoryTree: the root filesystem of a stage or image as a FileTree, read beneath its descriptor as it is
// asked for; such trees are too large to index.
#pragma once

#include "build/file_tree.h"
#include "sys/root_dir.h"

namespace berth::build {

class DirectoryTree : public FileTree {
 public:
  explicit DirectoryTree(sys::RootDir root) : root_(std::move(root)) {}

  const sys::RootDir& root() const { return root_; }

  Result<FileNode> stat(const std::string& path) const override;
  Result<std::vector<std::string>> list(const std::string& path) const override;
  Result<Digest> content_digest(const std::string& path) const override;
  Result<std::unique_ptr<storage::ByteSource>> read(const std::string& path) const override;
  Result<void> copy_content(const std::string& path, int to_fd) const override;

 private:
  Result<sys::UniqueFd> open_regular(const std::string& path) const;
  sys::RootDir root_;
};

/// The node of an open (O_PATH) object; `path` is for messages.
Result<FileNode> node_of(int fd, std::string_view path);

}  // namespace berth::build
