// plan_restore(): what the keeper does to have criu make a container. The process becomes criu, in the
// container's groups and in a mount namespace where the container's root waits; the daemon asks criu for the
// rest through its socket (criu.h), and names the result to the keeper (Keeper::adopt()).
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "launch/criu_places.h"
#include "launch/plan.h"

namespace berth::launch {

struct RestoreProgram {
  std::string criu;                      ///< its path
  std::vector<std::string> environment;  ///< "NAME=value"
  std::string mount_namespace;           ///< path of the one that it begins in
};

/// Of `request` what the keeper itself needs: groups, log, streams, terminal. LaunchFds::criu_socket goes
/// with it.
Result<LaunchPlan> plan_restore(const LaunchRequest& request, const RestoreProgram& program,
                                const HostFacts& host);

}  // namespace berth::launch
