// The name of a function that is to be made: bounded more tightly than the names of those that are there.
// Pure.
#pragma once

#include "functions/catalog/names.h"

namespace berth::functions {

/// As parse_function_reference(), and the name itself has at most 64 characters.
Result<FunctionReference> parse_new_function_name(std::string_view text, const Realm& realm);

}  // namespace berth::functions
