// Url: an http or https address, taken apart strictly. What registries send as Location, realm or foreign
// layer goes through here before a request or a credential does, so that nothing is left to two parsers'
// different reading. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace berth::registry {

struct Url {
  std::string scheme;  ///< "http" or "https"
  std::string host;    ///< lower case; IPv6 in brackets
  uint16_t port = 0;
  std::string target;  ///< path and query, begins with '/'

  /// Refuses other schemes, user names, control characters and what is not a plain host name or address.
  static Result<Url> parse(std::string_view text);
  /// A Location relative to this one: absolute, "//host/...", "/path" or "path".
  Result<Url> resolve(std::string_view location) const;

  std::string str() const;
  /// host, with the port unless it is the scheme's own.
  std::string authority() const;
  bool is_https() const { return scheme == "https"; }
  bool same_origin(const Url& other) const {
    return scheme == other.scheme && host == other.host && port == other.port;
  }
  bool operator==(const Url&) const = default;
};

/// Percent-encodes all but unreserved characters.
std::string percent_encode(std::string_view text);
/// `target` with "?name=value" or "&name=value" added.
std::string with_query(std::string target, std::string_view name, std::string_view value);

}  // namespace berth::registry
