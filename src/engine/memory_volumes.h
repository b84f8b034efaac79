// Volumes that are a tmpfs (`volume create -o type=tmpfs`): what one container writes into them the others
// see, so they are mounted once, on the host below the engine's exec root, from the first container that runs
// with them to the last. Calls may come from any thread.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "engine/records.h"

namespace berth::engine {

/// Of mounts that are resolved (mount_sources.h): mounts those volumes where they are not yet, and makes the
/// mounts binds of them. The container counts as their user until release_memory_volumes().
Result<void> share_memory_volumes(const std::string& exec_root, const std::string& container_id,
                                  std::vector<MountPoint>& mounts);
/// Of a container that another engine has started: counts it again.
void adopt_memory_volumes(const std::string& exec_root, const std::string& container_id,
                          const std::vector<MountPoint>& mounts);
/// Unmounts what nobody uses any more. Harmless for containers without.
Result<void> release_memory_volumes(const std::string& container_id);

}  // namespace berth::engine
