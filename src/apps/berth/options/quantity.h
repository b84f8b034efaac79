// Quantities as docker's flags take them: sizes in memory, numbers of cpus. Pure.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace berth::cli::options {

/// "512m", "1.5GiB", "64kb", "1024": bytes, powers of 1024. Messages are go-units': `invalid size: 'x'`.
Result<int64_t> parse_bytes(std::string_view text);
/// "1.5", "3/2": billionths of a cpu.
Result<int64_t> parse_cpus(std::string_view text);

}  // namespace berth::cli::options
