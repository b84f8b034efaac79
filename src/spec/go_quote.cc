// Go's %q and %v for strings and lists of strings.
#include "spec/go_quote.h"

#include "base/format.h"

namespace berth::spec {

size_t decode_utf8(std::string_view text, size_t position, char32_t& code) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = byte(position);
  code = lead;
  if (lead < 0x80) return 1;
  const size_t length = lead >= 0xF0 && lead < 0xF5 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC2 ? 2 : 0;
  code = 0xFFFD;
  if (length == 0 || lead >= 0xF5 || position + length > text.size()) return 1;
  char32_t value = lead & (0xFFu >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if ((byte(position + i) & 0xC0) != 0x80) return 1;
    value = (value << 6) | (byte(position + i) & 0x3F);
  }
  const bool overlong = (length == 3 && value < 0x800) || (length == 4 && value < 0x10000);
  if (overlong || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) return 1;
  code = value;
  return length;
}

std::string go_quote(std::string_view text) {
  std::string out = "\"";
  for (size_t i = 0; i < text.size();) {
    char32_t code = 0;
    const size_t length = decode_utf8(text, i, code);
    const unsigned char byte = static_cast<unsigned char>(text[i]);
    if (length == 1 && byte >= 0x80) {
      out += fmt::format("\\x{:02x}", byte);
    } else if (length > 1) {
      out += text.substr(i, length);
    } else if (constexpr std::string_view named = "\a\b\f\n\r\t\v\"\\";
               named.find(text[i]) != std::string_view::npos) {
      out.push_back('\\');
      out.push_back("abfnrtv\"\\"[named.find(text[i])]);
    } else if (byte < 0x20 || byte == 0x7F) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out.push_back(text[i]);
    }
    i += length;
  }
  return out + "\"";
}

std::string go_quote(const std::vector<std::string>& list) {
  std::string out = "[";
  for (const auto& element : list) {
    if (out.size() > 1) out.push_back(' ');
    out += go_quote(element);
  }
  return out + "]";
}

std::string go_list(const std::vector<std::string>& list) {
  std::string out = "[";
  for (size_t i = 0; i < list.size(); ++i) {
    if (i > 0) out.push_back(' ');
    out += list[i];
  }
  return out + "]";
}

}  // namespace berth::spec
