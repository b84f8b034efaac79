// Paths of a container that does not run, followed through its root and its volumes as they would lie on each
// other: a link in a volume may lead out of it, one in the root into a volume.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/records.h"
#include "sys/root_dir.h"

namespace berth::engine {

/// The directory that a mount's source is. The subpath of a volume is resolved beneath the volume, whose
/// content others choose: what leads out of it is an error (EXDEV). ENOTDIR: it is a file.
Result<sys::RootDir> open_source(const MountPoint& mount);

class MountedPaths {
 public:
  /// `root` must live as long as this. Of mounts those count whose source is a directory or file of the host;
  /// the others are as the root has it there.
  MountedPaths(const sys::RootDir& root, std::vector<MountPoint> mounts);

  /// The container's path without links, "." and "..". What does not exist ends the following: the rest is
  /// taken as it stands. Exhausted (ELOOP): more than 40 links.
  Result<std::string> resolve(std::string_view path, sys::Follow last);
  /// The deepest mount that a resolved path lies in; nullptr: none.
  const MountPoint* mount_of(std::string_view path) const;

 private:
  std::string link_at(const std::string& path);

  const sys::RootDir& root_;
  std::vector<MountPoint> mounts_;
  std::map<const MountPoint*, sys::RootDir> opened_;
};

}  // namespace berth::engine
