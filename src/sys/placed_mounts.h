// Mounts that are made from outside for a container with a user namespace of its own: what it could not mount
// or reach itself waits at a path of the host until the container has taken its copy.
#pragma once

#include <string>

#include "base/result.h"
#include "sys/detached_overlay.h"
#include "sys/netns.h"

namespace berth::sys {

/// An overlay at `place`, a directory that is made. With `user_namespace` (a descriptor, -1: none) the owners
/// in all layers, the upper one included, are mapped by it (idmapped layers, Linux 5.19; by descriptor 6.15:
/// Unsupported before): files keep their ids on the disk.
Result<void> place_overlay(const OverlayLayers& layers, int user_namespace, const std::string& place);
/// A copy of the mount at `source`, a directory, whose file owners are mapped.
Result<void> place_mapped_directory(const std::string& source, int user_namespace, const std::string& place);
/// The sysfs of a network namespace.
Result<void> place_sysfs(const NetworkNamespace& netns, const std::string& place);
/// Takes away what is mounted at `place`, and the directory. Nothing there: no error.
void remove_placed(const std::string& place);

}  // namespace berth::sys
