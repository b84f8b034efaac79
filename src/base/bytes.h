// Hex and base64 of byte strings. Decoders refuse what is not exactly of the form.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace berth {

std::string to_hex(std::span<const uint8_t> bytes);
Result<std::string> from_hex(std::string_view text);
/// RFC 4648 section 4, padded.
std::string to_base64(std::string_view bytes);
/// Accepts the standard and the URL alphabet, padded or not (registry clients send both).
Result<std::string> from_base64(std::string_view text);

}  // namespace berth
