// Who may use the registry: users of an htpasswd file, and tokens of docker's token protocol (JWT). Checks of
// passwords are slow on purpose and belong on a worker thread.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

struct evp_pkey_st;

namespace berth::registry::server {

struct Credentials {
  std::string user;
  std::string password;
};
/// Of "Basic <base64>"; nullopt when it is none or malformed.
std::optional<Credentials> parse_basic(std::string_view authorization);
/// Of "Bearer <token>".
std::optional<std::string_view> parse_bearer(std::string_view authorization);

/// Users with bcrypt passwords. Verdicts are remembered for some minutes, since clients send the password
/// with each request.
class Htpasswd {
 public:
  /// Refuses lines whose password is not bcrypt ($2y$): plain text, crypt, MD5 and SHA-1 can be guessed.
  static Result<std::unique_ptr<Htpasswd>> parse(std::string_view text);
  /// From any thread; takes some 50 ms when it is not remembered. An unknown user takes as long as a known
  /// one.
  bool verify(const Credentials& credentials);

 private:
  std::map<std::string, std::string, std::less<>> hashes_;
  std::mutex mutex_;
  std::map<std::string, std::chrono::steady_clock::time_point> verified_;  // by digest of name and password
};

/// "repository:name:pull,push"
struct Scope {
  std::string type;
  std::string name;
  std::vector<std::string> actions;
  bool allows(std::string_view action) const;
};
/// nullopt: malformed.
std::optional<Scope> parse_scope(std::string_view text);

struct Token {
  std::string subject;
  std::vector<Scope> access;
  bool allows(std::string_view type, std::string_view name, std::string_view action) const;
};

/// Verifies tokens, and signs them when its key is a secret.
class TokenAuthority {
 public:
  /// A PEM public key or certificate takes RS256 and ES256 tokens; anything else is a secret for HS256.
  static Result<std::unique_ptr<TokenAuthority>> create(std::string_view key, std::string service,
                                                        std::string issuer);
  ~TokenAuthority();

  /// Unauthenticated: not signed by the key, expired, not yet valid, for another service or of another
  /// issuer. The algorithm follows from the key, never from the token.
  Result<Token> verify(std::string_view token, std::chrono::system_clock::time_point now) const;
  std::string issue(const Token& token, std::chrono::system_clock::time_point now,
                    std::chrono::seconds life) const;
  const std::string& service() const { return service_; }

 private:
  TokenAuthority() = default;
  bool is_signed(std::string_view algorithm, std::string_view text, std::string_view signature) const;
  evp_pkey_st* key_ = nullptr;
  std::string secret_;
  std::string service_;
  std::string issuer_;
};

}  // namespace berth::registry::server
