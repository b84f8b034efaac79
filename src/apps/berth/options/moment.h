// Points in time for --since and --until as the API takes them.
#pragma once

#include <string>
#include <string_view>

#include "base/clock.h"

namespace berth::cli::options {

/// "10m", "2026-01-02T15:04:05Z", "2026-01-02" (local zone), "1700000000.5": unix seconds with nine digits of
/// fraction. Empty stays empty.
Result<std::string> api_time(std::string_view text, Timestamp now);

}  // namespace berth::cli::options
