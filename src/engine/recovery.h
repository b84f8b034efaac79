// Recovery: the normal way a daemon starts. Internal to engine/.
#pragma once

#include "engine/core.h"

namespace berth::engine {

/// Loads the records, finds the keepers that live, brings network and kernel in line, and does what
/// recovery_plan.h decides. Returns when every container is as it should be; restarts go on beside.
io::Task<Result<void>> recover(Core& core);

}  // namespace berth::engine
