// Which mounts a container gets: binds, --mount, --tmpfs, --volumes-from and the image's volumes, as one list
// of MountPoints, with docker's rules of precedence and its words for what is wrong. Pure: volumes have names
// here, not yet directories.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/records.h"

namespace berth::engine {

/// "[source:]destination[:options]" of -v. `volume_driver` is HostConfig.VolumeDriver.
Result<MountPoint> parse_bind(std::string_view text, std::string_view volume_driver);
/// An element of HostConfig.Mounts. Its shape alone: whether a bind's source exists is asked later.
Result<MountPoint> resolve_mount(const spec::MountRequest& mount);
struct MountSources {
  /// The mounts of another container, for --volumes-from. NotFound when there is none.
  std::function<Result<std::vector<MountPoint>>(std::string_view container)> volumes_of;
  /// Makes a name for an anonymous volume.
  std::function<std::string()> new_name;
  /// The engine's own directory: a bind that is in it, or has it in it, is a slave of the host's mounts, so
  /// that no container pins what the host unmounts there. Empty: no bind is asked for that.
  std::string data_root = {};
  /// Of read-only binds and bind mounts of the request: whether they reach mounts below, when the request
  /// does not say otherwise.
  bool read_only_recursive = true;
};

/// All of them, deepest destinations last. HostConfig.Tmpfs is checked but not part of the list: inspect does
/// not show it there.
Result<std::vector<MountPoint>> resolve_mounts(const spec::ContainerConfig& config,
                                               const spec::HostConfig& host, const MountSources& sources);

}  // namespace berth::engine
