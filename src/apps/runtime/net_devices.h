// Network devices of the host that a container is given (linux.netDevices).
#pragma once

#include <sys/types.h>

#include <map>
#include <string>

#include "base/result.h"

namespace berth::runtime {

/// Moves each device into the process's network namespace under its new name (empty: the old one; "%d" counts
/// up), brings its global permanent addresses along, and sets it up.
Result<void> move_net_devices(const std::map<std::string, std::string>& devices, pid_t pid);

}  // namespace berth::runtime
