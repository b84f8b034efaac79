// Signals by the names and numbers people write.
#pragma once

#include <string_view>

#include "base/result.h"

namespace berth::engine {

/// "KILL", "SIGKILL", "kill", "9", "RTMIN+3". InvalidArgument: "invalid signal: x".
Result<int> parse_signal(std::string_view text);

}  // namespace berth::engine
