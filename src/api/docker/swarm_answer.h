// What an engine that manages no swarm says to requests for one. It is docker's only 503: clients that meet
// it know that the engine is there, and that what they asked for is not.
#pragma once

#include "api/docker/context.h"

namespace berth::api {

/// Answers 503 in docker's words.
io::Task<Result<void>> not_a_manager(Context& context);

}  // namespace berth::api
