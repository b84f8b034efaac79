// What an engine that manages no swarm says to requests for one. It is docker's only 503: clients that meet
// it know that the engine is there, and that what they asked for is not.
#pragma once

#include <string_view>

#include "api/docker/context.h"

namespace berth::api {

inline constexpr std::string_view not_a_manager_words =
    "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this "
    "node to "
    "swarm and try again.";

/// Answers 503 in docker's words.
io::Task<Result<void>> not_a_manager(Context& context);

}  // namespace berth::api
