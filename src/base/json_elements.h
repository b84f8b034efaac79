// The elements of a large JSON array, one at a time: none but the current one is in memory as a document.
#pragma once

#include <functional>
#include <string_view>

#include "base/json.h"

namespace berth {

/// Calls `take` with every element of the array; its error ends the walk and is returned. A document that is
/// no array, malformed, too large or too deep: InvalidArgument (elements before the fault have been given
/// already).
Result<void> for_each_element(std::string_view text, const JsonLimits& limits,
                              const std::function<Result<void>(Json&&)>& take);

}  // namespace berth
