// Parts of a container's creation that concern one subject each. Pure.
#pragma once

#include <map>
#include <string>

#include "apps/berth/compose/project.h"
#include "base/json_fwd.h"
#include "base/result.h"

namespace berth::cli::compose {

/// Command, user, working directory, terminal, stop signal, health check.
Result<void> add_program(const Service& service, Json& body);
/// Capabilities, privileges, user groups, read-only root, devices.
Result<void> add_security(const Service& service, Json& host);
/// CPU, memory, processes, block I/O, ulimits.
Result<void> add_limits(const Service& service, Json& host);
/// Restart policy, log driver, DNS, hosts, sysctls, init, runtime, shared memory.
Result<void> add_surroundings(const Service& service, Json& host);
/// Volumes, binds, tmpfs, secrets and configs from files. `kept`: target to volume, from a replaced
/// container.
Result<void> add_mounts(const Project& project, const Service& service,
                        const std::map<std::string, std::string>& kept, Json& host);

}  // namespace berth::cli::compose
