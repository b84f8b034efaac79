// TreeCopier: writes the entries of a FileTree below a directory, one after the other, parents first. Names
// are looked up by descriptor and without following links, so that a link the image has there is replaced,
// not used.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "build/file_tree.h"
#include "build/mode_change.h"
#include "build/owner_lookup.h"
#include "sys/fd.h"
#include "sys/root_dir.h"

namespace berth::build {

struct CopyAttributes {
  std::optional<OwnerIds> owner = {};
  bool keep_owner = false;  ///< without `owner`: the source's, else 0:0
  std::optional<ModeChange> chmod = {};
  std::optional<uint32_t> mode = {};  ///< instead of the source's, before chmod
};

class TreeCopier {
 public:
  TreeCopier(const FileTree& tree, const sys::RootDir& directory, CopyAttributes attributes);

  /// Copies one node; `relative` is its path below the directory. Directories that are there already are
  /// merged and take the source's attributes.
  Result<void> copy(const std::string& path, const std::string& relative, const FileNode& node);
  /// Sets the times of directories that are still open.
  Result<void> finish();

 private:
  struct OpenDirectory {
    std::string relative;
    sys::UniqueFd fd;
    FileNode node;
  };
  Result<int> open_parent(const std::string& relative);
  Result<void> close_directory();
  Result<void> make_directory(int parent, const std::string& name, const std::string& relative,
                              const FileNode& node);
  Result<void> make_file(int parent, const std::string& name, const std::string& path, const FileNode& node);
  Result<void> make_symlink(int parent, const std::string& name, const FileNode& node);
  Result<void> make_node(int parent, const std::string& name, const FileNode& node);
  Result<bool> make_hard_link(int parent, const std::string& name, const FileNode& node);
  Result<void> clear_target(int parent, const std::string& name, const std::string& relative);
  OwnerIds owner_of(const FileNode& node) const;
  uint32_t mode_of(const FileNode& node) const;
  Result<void> set_attributes(int fd, const std::string& name, const FileNode& node);

  const FileTree& tree_;
  CopyAttributes attributes_;
  std::vector<OpenDirectory> open_;           ///< from the directory itself down to the current one
  std::map<uint64_t, sys::UniqueFd> linked_;  ///< first copies of files with several names
  std::optional<Error> open_error_;
};

}  // namespace berth::build
