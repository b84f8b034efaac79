// UUIDs of version 4, as request ids, message ids and event source mappings have them.
#pragma once

#include <string>

namespace berth::functions {

/// "c6af9ac6-7b61-11e6-9a41-93e8deadbeef" from getrandom(2).
std::string random_uuid();

}  // namespace berth::functions
