// Patterns in which '*' stands for any run of characters, '/' among them, and everything else for itself.
#pragma once

#include <string_view>

namespace berth {

/// In time of the product of the lengths at most.
bool matches_wildcard(std::string_view pattern, std::string_view text);

}  // namespace berth
