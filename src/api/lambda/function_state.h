// What a function's state is while the base of its runtime is made, and when that failed.
#pragma once

#include "api/lambda/services.h"
#include "base/json_fwd.h"

namespace berth::api::lambda {

/// The configuration with the state that the base gives it: Pending, Failed or Inactive with the reason, or
/// as it was.
Json with_base_state(const FunctionServices& services, const functions::FunctionVersion& version,
                     Json configuration);
/// Sees to it that the base is made, for a function that was made or changed.
void begin_base(const FunctionServices& services, const functions::FunctionVersion& version);

}  // namespace berth::api::lambda
