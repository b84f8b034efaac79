// Well-formed UTF-8.
#pragma once

#include <string_view>

namespace berth {

/// No overlong forms, no surrogates, nothing beyond U+10FFFF (RFC 3629): what JSON can hold as it is.
bool is_utf8(std::string_view text);

}  // namespace berth
