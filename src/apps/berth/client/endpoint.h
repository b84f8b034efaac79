// Endpoint: where the engine listens, and connecting to it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "sys/fd.h"

namespace berth::cli::client {

/// What TLS to a tcp:// engine is made with: paths of PEM files, empty where there is none.
struct TlsFiles {
  std::string ca;
  std::string certificate;
  std::string key;
  enum class Server { Verified, Unverified };
  Server server = Server::Verified;
  bool operator==(const TlsFiles&) const = default;
};

struct Endpoint {
  enum class Scheme { Unix, Tcp, Ssh };
  Scheme scheme = Scheme::Unix;
  std::string address;               ///< path of the socket, or the host
  uint16_t port = 0;                 ///< Tcp; Ssh: 0 leaves it to ssh
  std::string user;                  ///< Ssh
  std::optional<TlsFiles> tls = {};  ///< Tcp

  /// As given: "unix:///run/berth/berth.sock".
  std::string str() const;
  bool operator==(const Endpoint&) const = default;
};

/// The engine's own socket: /run/berth/berth.sock; for others than root that of their own engine
/// (sys/user_directories.h), or the system's where they may use it and have none of their own.
Endpoint default_endpoint();

/// "unix:///path", "tcp://host[:port]", "host:port", "ssh://[user@]host[:port]". The ports default to
/// docker's 2375, or `tcp_port`. Pure.
Result<Endpoint> parse_endpoint(std::string_view text, uint16_t tcp_port = 2375);

/// A connected stream socket (blocking, CLOEXEC). Unavailable when nobody listens (errno_value() tells why).
Result<sys::UniqueFd> connect(const Endpoint& endpoint);

}  // namespace berth::cli::client
