// What a registry says of the range that it sends (RFC 9110, section 14.4). Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace berth::registry {

struct ContentRange {
  uint64_t first = 0;
  uint64_t last = 0;              ///< of the last byte, which belongs to it
  std::optional<uint64_t> total;  ///< of the whole; none where the server writes "*"

  bool operator==(const ContentRange&) const = default;
};

/// "bytes 100-199/200"; none for everything else, and for ranges that end before they begin or after the
/// whole.
std::optional<ContentRange> parse_content_range(std::string_view text);

}  // namespace berth::registry
