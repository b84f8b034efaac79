// The runtime clients that berth's bases contain (clients/), built into the program.
#pragma once

#include <string_view>

namespace berth::functions {

extern const std::string_view python_client;  ///< /var/runtime/bootstrap.py
extern const std::string_view nodejs_client;  ///< /var/runtime/bootstrap.cjs

}  // namespace berth::functions
