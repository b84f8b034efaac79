// From a container's mount points to what is really mounted at a start: directories of volumes, devices of
// volumes with options, layers of image mounts, and paths below a volume that others chose. Internal to
// engine/.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/records.h"
#include "sys/fd.h"

namespace berth::engine {

/// What a start's mounts are made of, looked up beforehand.
struct MountSourceInputs {
  std::map<std::string, VolumeRecord> volumes;             ///< by name, those the container mounts
  std::map<std::string, std::vector<std::string>> images;  ///< reference -> layer directories, top first
};

struct ResolvedMounts {
  std::vector<MountPoint> mounts;
  /// Sources that are named by descriptor (/proc/<pid>/fd/n): keep until the container has started.
  std::vector<sys::UniqueFd> held;
};

/// Looks at the host's filesystems, so run it on a worker. Makes missing sources of -v. InvalidArgument:
/// "bind source path does not exist: /x".
Result<ResolvedMounts> resolve_mount_sources(std::vector<MountPoint> mounts, const MountSourceInputs& inputs);

/// A volume's options (type, device, o) as a mount. Pure.
Result<void> apply_volume_options(const VolumeRecord& volume, MountPoint& mount);

}  // namespace berth::engine
