// The order in which containers are started by their policies: after a reboot, a container that shares
// another's namespaces, is linked to it, or depends on its service (compose's labels) waits for it. Internal
// to engine/.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/core.h"

namespace berth::engine {

/// What a container waits for.
struct StartDependency {
  enum class Until { Started, Healthy };
  std::string container_id;
  Until until = Until::Started;
};

/// "db:service_healthy:false,cache:service_started:true" (com.docker.compose.depends_on). Pure.
struct ServiceDependency {
  std::string service;
  StartDependency::Until until = StartDependency::Until::Started;
};
std::vector<ServiceDependency> parse_depends_on(std::string_view label);

/// The containers that this one needs first, of those there are.
std::vector<StartDependency> start_dependencies(const Core& core, const ContainerRecord& record);

/// Those that others wait for first; cycles are cut where they are entered.
std::vector<ContainerHandle> in_start_order(const Core& core, const std::vector<ContainerHandle>& containers);

/// Returns when what the container depends on runs (or is healthy), when it is not on its way, or when
/// waiting has lasted long enough.
io::Task<void> await_dependencies(Core& core, ContainerHandle container);

}  // namespace berth::engine
