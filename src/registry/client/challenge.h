// WWW-Authenticate and the answers of token servers, read from hostile bytes. Pure.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace berth::registry {

/// One challenge of a WWW-Authenticate header: `Bearer realm="...",service="..."`.
struct Challenge {
  std::string scheme;  ///< lower case
  std::map<std::string, std::string> parameters;
  const std::string& parameter(const std::string& name) const;
};

/// All challenges that can be read (a header may hold several); what cannot be read is left out. Bounded.
std::vector<Challenge> parse_challenges(std::string_view header);

/// What a token server answers (distribution's token specification, and OAuth2).
struct Token {
  std::string value;
  std::chrono::seconds lifetime{60};
  std::string refresh_token;
};
/// No token, or one that is no header value: InvalidArgument.
Result<Token> parse_token(std::string_view body);

/// One error as registries word it: {"errors":[{"code":"DENIED","message":"..."}]}, or {"details":"..."}.
struct RegistryError {
  std::string code;     ///< "MANIFEST_UNKNOWN"; empty when the body says nothing
  std::string message;  ///< one line, bounded
  /// As docker prints it: "manifest unknown: manifest unknown".
  std::string str() const;
};
/// `www_authenticate` may name the reason too (RFC 6750: insufficient_scope, invalid_token) and comes first.
RegistryError parse_registry_error(long status, std::string_view body, std::string_view www_authenticate);

/// Text from outside, fit for one line of an error message: control characters out, bounded.
std::string one_line(std::string_view text, size_t longest = 500);

}  // namespace berth::registry
