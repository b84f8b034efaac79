// Spans of time as Go writes them, which is what docker's tools print and parse.
#pragma once

#include <cstdint>
#include <string>

namespace berth {

/// Go's time.Duration.String(): "1m30s", "500ms".
std::string go_duration(int64_t nanoseconds);

}  // namespace berth
