// The default route of a container that runs, when its networks change. Internal to engine/.
#pragma once

#include "base/result.h"
#include "engine/core.h"
#include "sys/netns.h"

namespace berth::engine {

/// Gives the default routes (IPv4 and IPv6) to the network that the record's priorities choose, in place of
/// what there is, and publishes the container's ports there: record.ports says where they are then. A port
/// that another has taken meanwhile is AlreadyExists, in docker's words, and none is published.
Result<void> settle_default_route(Core& core, ContainerRecord& record, sys::NetworkNamespace& netns);

}  // namespace berth::engine
