#include "base/utf8.h"

#include <cstddef>

namespace berth {

bool is_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    auto byte = static_cast<unsigned char>(text[i]);
    size_t more = byte < 0x80 ? 0 : byte >= 0xf0 && byte < 0xf5 ? 3 : byte >= 0xe0 ? 2 : 1;
    if (byte >= 0x80 && (byte < 0xc2 || byte > 0xf4)) return false;
    if (more >= text.size() - i) return false;
    for (size_t j = 1; j <= more; ++j) {
      if ((static_cast<unsigned char>(text[i + j]) & 0xc0) != 0x80) return false;
    }
    // Overlong forms, surrogates, and what lies beyond Unicode.
    unsigned char second = more > 0 ? static_cast<unsigned char>(text[i + 1]) : 0;
    if ((byte == 0xe0 && second < 0xa0) || (byte == 0xed && second > 0x9f) ||
        (byte == 0xf0 && second < 0x90) || (byte == 0xf4 && second > 0x8f)) {
      return false;
    }
    i += 1 + more;
  }
  return true;
}

}  // namespace berth
