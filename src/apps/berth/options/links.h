// --link CONTAINER[:ALIAS] and --add-host NAME:IP. Pure.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace berth::cli::options {

Result<std::string> check_link(std::string_view value);
/// "name:ip", "name=ip", "name:host-gateway"; as the API takes it, with ':' and without brackets.
Result<std::string> check_extra_host(std::string_view value);
/// A domain, or "." for none.
Result<std::string> check_dns_search(std::string_view value);

}  // namespace berth::cli::options
