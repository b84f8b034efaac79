// One line of comma-separated fields with Go's (RFC 4180) quoting, as --mount and --network take it. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace berth::cli::options {

Result<std::vector<std::string>> split_csv(std::string_view line);

}  // namespace berth::cli::options
