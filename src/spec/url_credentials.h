// User and password in URLs: for the server alone, never for messages, logs or histories. Pure.
#pragma once

#include <string>
#include <string_view>

namespace berth::spec {

/// "user:password@" of "scheme://user:password@host/path"; empty: none.
std::string_view credentials_in(std::string_view url);

/// The URL as others may read it.
std::string without_credentials(std::string_view url);

}  // namespace berth::spec
