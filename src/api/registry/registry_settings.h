// Settings of a served registry as a request's JSON, and what follows from them. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "api/registry/registry_api.h"
#include "base/result.h"
#include "registry/server/server.h"

namespace berth::api {

/// Unknown members are ignored; a wrong type is InvalidArgument.
Result<RegistrySettings> parse_registry_settings(std::string_view json);

struct RegistryAddress {
  std::string ip;
  uint16_t port = 0;
  bool operator==(const RegistryAddress&) const = default;
};
/// "127.0.0.1:5000", "[::1]:5000", "localhost:5000", ":5000" (all addresses). Port 0 takes a free one.
Result<RegistryAddress> parse_registry_address(std::string_view text);

/// Reads users and keys. InvalidArgument for what contradicts itself (tokens without users, ...).
Result<registry::server::ServerSettings> server_settings(const RegistrySettings& settings);

}  // namespace berth::api
