// The archive side of `docker cp` (HEAD, GET and PUT /containers/{id}/archive) and copies between trees, on a
// root that is given as a descriptor: the container's own root, or a detached overlay of a stopped one.
#pragma once

#include <cstdint>
#include <stop_token>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "storage/archive.h"
#include "sys/root_dir.h"

namespace berth::storage {

/// X-Docker-Container-Path-Stat.
struct PathStat {
  std::string name;  ///< last component
  int64_t size = 0;
  uint32_t mode = 0;  ///< Go's FileMode bits, see go_file_mode
  Timestamp mtime;
  std::string link_target;  ///< of a symbolic link: where it leads within the root, absolute
};

/// st_mode as Go's os.FileMode: directory 1<<31, symlink 1<<27, device 1<<26, pipe 1<<25, socket 1<<24,
/// setuid 1<<23, setgid 1<<22, character device 1<<21, sticky 1<<20.
uint32_t go_file_mode(uint32_t st_mode);

/// Missing: NotFound "Could not find the file <path> in container" (docker adds the container's name). A path
/// that ends in '/' or "/." must be a directory.
Result<PathStat> stat_path(const sys::RootDir& root, std::string_view path);

struct CopyOutOptions {
  /// The archive's top name instead of the path's own (a volume's root is "/_data" here but "/data" to its
  /// container). Empty: the path's.
  std::string base_name = {};
  std::stop_token stop = {};
};
/// The archive of one file or directory, rooted at its base name; "dir/." gives "./..." names. The final link
/// of a path is archived as a link unless the path ends in '/'.
Result<void> copy_out(const sys::RootDir& root, std::string_view path, ByteSink& out,
                      const CopyOutOptions& options = {});

struct CopyInOptions {
  Overwrite overwrite = Overwrite::Any;  ///< SameKindOnly: noOverwriteDirNonDir
  /// With copyUIDGID: the container's user, for everything; else the archive's own ids are kept, as docker
  /// does.
  std::optional<FixedOwner> owner = {};
  ArchiveLimits limits = {};
  std::stop_token stop = {};
};
/// Unpacks into the existing directory `path`. Missing: NotFound; not a directory: InvalidArgument; read-only
/// filesystem: Forbidden.
Result<void> copy_in(const sys::RootDir& root, std::string_view path, ByteSource& archive,
                     const CopyInOptions& options = {});

/// Whether overlayfs' own marks (whiteouts are devices anyway, opaque directories) are copied too: for upper
/// directories.
enum class OverlayMarks { Drop, Keep };

struct CopyTreeOptions {
  OverlayMarks overlay_marks = OverlayMarks::Drop;
  std::optional<FixedOwner> owner = {};
  std::optional<uint32_t> mode = {};  ///< permission bits for everything copied
  std::stop_token stop = {};
};
/// Copies the contents of a directory into another that exists: modes, owners, times, links, hard links,
/// xattrs, devices and sparse files kept. What is there already is merged (directories) or replaced.
Result<void> copy_tree(const sys::RootDir& from, const sys::RootDir& to, const CopyTreeOptions& options = {});

/// Initialises a new volume from the image's content at `path`: contents plus the directory's own mode and
/// owner. Does nothing when the volume is not empty or the path is missing or no directory.
Result<void> copy_up(const sys::RootDir& root, std::string_view path, const sys::RootDir& volume,
                     std::stop_token stop = {});

}  // namespace berth::storage
