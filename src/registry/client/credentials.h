// Credentials for one registry, as docker's clients send them in X-Registry-Auth, X-Registry-Config and
// POST /auth. Pure.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace berth::registry {

struct Credentials {
  std::string user;
  std::string secret;
  std::string identity_token;  ///< OAuth2 refresh token, instead of user and secret
  std::string registry_token;  ///< a bearer token for the registry itself
  std::string server;          ///< whom they are for, as the client wrote it

  bool empty() const {
    return user.empty() && secret.empty() && identity_token.empty() && registry_token.empty();
  }
  /// Tells credentials apart without showing them (a digest); equal for equal credentials.
  std::string fingerprint() const;
  bool operator==(const Credentials&) const = default;
};

/// The JSON object of X-Registry-Auth. Malformed: InvalidArgument.
Result<Credentials> parse_credentials(std::string_view json);
/// The header's value, base64 in either alphabet. Undecodable: none, as docker has it.
Credentials credentials_of_header(std::string_view value);
/// The entry for `domain` in X-Registry-Config's object of servers; none when there is none.
Credentials credentials_from_config(std::string_view json, const std::string& domain);

/// "https://index.docker.io/v1/" and "docker.io" are one; "https://host/v1/" and "host" too.
std::string registry_of_server(std::string_view server);

}  // namespace berth::registry
