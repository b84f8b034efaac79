// Mounts that are made from outside for a container with a user namespace of its own: what it could not mount
// or reach itself waits at a path of the host until the container has taken its copy.
#pragma once

#include <string>

#include "base/result.h"
#include "sys/detached_overlay.h"
#include "sys/netns.h"

namespace berth::sys {

/// A user namespace that maps owners, and what its root is outside.
struct OwnerMapping {
  int user_namespace = -1;
  uint32_t root_uid = 0;
  uint32_t root_gid = 0;
};

/// An overlay at `place`, a directory that is made.
Result<void> place_overlay(const OverlayLayers& layers, const std::string& place);
/// The same with the owners in all layers mapped, the upper one included, so that files keep their ids on the
/// disk (idmapped layers, Linux 5.19: Unsupported before).
Result<void> place_mapped_overlay(const OverlayLayers& layers, const OwnerMapping& mapping,
                                  const std::string& place);
/// A copy of the mount at `source`, a directory, whose file owners are mapped.
Result<void> place_mapped_directory(const std::string& source, int user_namespace, const std::string& place);
/// The sysfs of a network namespace.
Result<void> place_sysfs(const NetworkNamespace& netns, const std::string& place);
/// Takes away what is mounted at `place`, and the directory. Nothing there: no error.
void remove_placed(const std::string& place);

}  // namespace berth::sys
