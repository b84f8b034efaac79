// Id maps of a new user namespace: the user becomes root, subordinate ids become the others.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/result.h"

namespace berth::berthd::rootless {

/// Writes uid_map and gid_map of process `pid`, which has just made its user namespace: through newuidmap and
/// newgidmap (package uidmap) with the ranges of /etc/subuid and /etc/subgid, else, since that takes no
/// privilege, the user's own ids alone. Returns what is missing then and what would help, or nothing.
Result<std::string> write_id_maps(pid_t pid);

}  // namespace berth::berthd::rootless
