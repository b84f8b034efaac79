// TreeWriter: makes the entries of an archive in a directory tree. Every path resolves beneath the root,
// whatever links the archive has made before; see archive.h for what the options mean.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "storage/archive.h"
#include "storage/layer_unpack.h"
#include "storage/opaque_directories.h"
#include "storage/recipe.h"
#include "storage/tar_reader.h"
#include "sys/fd.h"
#include "sys/root_dir.h"

namespace berth::storage {

class TreeWriter {
 public:
  TreeWriter(const sys::RootDir& root, const UnpackOptions& options, RecipeWriter* recipe)
      : TreeWriter(
            root, options,
            [&options]() -> Result<std::vector<const sys::RootDir*>> { return options.lowers; }, recipe) {}
  /// `find_lowers` stands in for options.lowers.
  TreeWriter(const sys::RootDir& root, const UnpackOptions& options, FindLowers find_lowers,
             RecipeWriter* recipe);

  /// Makes one entry, taking its content from `reader`.
  Result<void> apply(const TarEntry& entry, TarReader& reader);
  /// Sets the directories' times, which writing into them has changed.
  Result<void> finish();

  uint64_t content_bytes() const { return content_bytes_; }
  /// An entry has replaced an earlier one that had content.
  bool has_replaced() const { return has_replaced_; }
  /// An entry has said what the root looks like.

 private:
  /// Where the current entry goes: an open directory and a name in it.
  struct Place {
    int parent = -1;
    std::string name;
    std::string path;  ///< cleaned, relative to the root
  };
  struct DirectoryTime {
    std::string path;
    TarTime mtime;
  };

  Result<void> apply_root(const TarEntry& entry);
  Result<bool> apply_whiteout(const std::string& path);
  Result<void> make_whiteout(std::string_view hidden_path);
  Result<void> make_opaque(std::string_view path);

  Result<Place> place_for(const std::string& path);
  Result<sys::UniqueFd> open_parent(std::string_view path);
  Result<sys::UniqueFd> make_parents(std::string_view path);
  Result<void> make_implied_directory(const std::string& path);

  Result<void> make_file(const TarEntry& entry, const Place& place, TarReader& reader);
  Result<void> write_content(int fd, const TarEntry& entry, const Place& place, TarReader& reader);
  Result<void> make_directory(const TarEntry& entry, const Place& place);
  Result<void> make_symlink(const TarEntry& entry, const Place& place);
  Result<void> make_hard_link(const TarEntry& entry, const Place& place);
  Result<void> make_node(const TarEntry& entry, const Place& place);
  Result<void> copy_from_lower(const std::string& path);
  Result<void> take_after_lower(const Place& place);
  Result<const std::vector<const sys::RootDir*>*> lowers();

  /// Whether what stood at the place was a directory, and is still there.
  enum class Existing { Removed, KeptDirectory };
  Result<Existing> clear_place(const Place& place, bool wants_directory);
  /// Runs `make` (0 or -1 with errno), clearing the place and trying again if something is there.
  template <class Make>
  Result<void> make_in_place(const Place& place, std::string_view what, Make make);

  struct Owner {
    uint32_t uid;
    uint32_t gid;
    bool change;
  };
  Owner owner_of(const TarEntry& entry) const;
  bool needs_chmod(uint32_t mode, bool owner_changes) const;
  /// Owner, mode and attributes of something that is not a regular file.
  Result<void> set_metadata(const Place& place, const TarEntry& entry);
  Result<void> set_xattrs_at(int parent, const std::string& name, const TarEntry& entry);
  Result<void> set_time(const Place& place, const TarTime& mtime);

  const sys::RootDir& root_;
  const UnpackOptions& options_;
  FindLowers find_lowers_;
  std::optional<std::vector<const sys::RootDir*>> lowers_;
  RecipeWriter* recipe_;
  std::string base_;  ///< "" or with a slash at the end
  uint32_t umask_;
  uint32_t uid_;
  uint32_t gid_;
  std::string parent_path_ = "\n";  ///< of parent_fd_; no cleaned path equals this
  sys::UniqueFd parent_fd_;
  std::vector<DirectoryTime> directory_times_;
  OpaqueDirectories opaque_;
  uint64_t content_bytes_ = 0;
  bool has_replaced_ = false;
};

}  // namespace berth::storage
