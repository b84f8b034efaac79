// Strings and lists as Go's fmt writes them (%q), since image histories and messages are compared as text.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace berth::spec {

/// "%q" of a string: quoted, control characters and bytes that are not UTF-8 escaped.
std::string go_quote(std::string_view text);
/// "%q" of a list: ["a" "b"].
std::string go_quote(const std::vector<std::string>& list);
/// "%v" of a list: [a b].
std::string go_list(const std::vector<std::string>& list);

/// Decodes the UTF-8 sequence at `position`; returns its length, 1 for a byte that starts none (then `code`
/// is U+FFFD).
size_t decode_utf8(std::string_view text, size_t position, char32_t& code);

}  // namespace berth::spec
