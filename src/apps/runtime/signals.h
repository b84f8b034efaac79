// Signals by name and number.
#pragma once

#include <string_view>

#include "base/result.h"

namespace berth::runtime {

/// "TERM", "SIGTERM", "15", "RTMIN+3". InvalidArgument.
Result<int> parse_signal(std::string_view text);

}  // namespace berth::runtime
