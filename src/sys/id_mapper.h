// Writing the id maps of a process's new user namespace: by oneself where the kernel lets one, else through
// newuidmap(1) and newgidmap(1), which let users have what /etc/subuid and /etc/subgid give them.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/result.h"

namespace berth::sys {

/// Maps are lines of uid_map and gid_map. NotFound when the programs (package uidmap) would be needed and are
/// missing, Forbidden with their words when they refuse.
Result<void> write_id_maps(pid_t pid, const std::string& uid_map, const std::string& gid_map);

}  // namespace berth::sys
