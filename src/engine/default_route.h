// The default route of a container that runs, when its networks change. Internal to engine/.
#pragma once

#include "base/result.h"
#include "engine/core.h"
#include "sys/netns.h"

namespace berth::engine {

/// Gives the default routes (IPv4 and IPv6) to the network that the record's priorities choose, in place of
/// what there is. Published ports stay where they are.
Result<void> settle_default_route(Core& core, const ContainerRecord& record, sys::NetworkNamespace& netns);

}  // namespace berth::engine
