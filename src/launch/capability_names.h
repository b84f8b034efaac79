// Capabilities by name and number.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace berth::launch {

constexpr int kKnownCapabilities = 41;  ///< CAP_CHOWN (0) to CAP_CHECKPOINT_RESTORE (40)

/// "CAP_CHOWN" for 0, ...
std::string_view capability_name(int number);
/// By full name, exactly.
std::optional<int> capability_number(std::string_view name);
/// The set as bits. InvalidArgument for an unknown name.
Result<uint64_t> capability_bits(std::span<const std::string> names);

}  // namespace berth::launch
