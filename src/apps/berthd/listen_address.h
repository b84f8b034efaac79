// Where berthd listens, from docker's -H notation. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "base/result.h"

namespace berth::berthd {

struct UnixAddress {
  std::string path;
  bool operator==(const UnixAddress&) const = default;
};
struct TcpAddress {
  std::string ip;     ///< numeric
  uint16_t port = 0;  ///< 0: not given, so 2375, or 2376 with TLS
  bool loopback = false;
  bool operator==(const TcpAddress&) const = default;
};
/// The sockets that systemd passes.
struct ActivatedSockets {
  bool operator==(const ActivatedSockets&) const = default;
};
using ListenAddress = std::variant<UnixAddress, TcpAddress, ActivatedSockets>;

/// "unix:///run/x.sock", "/run/x.sock", "tcp://127.0.0.1:2375", "tcp://[::1]:2375", "fd://". InvalidArgument
/// "invalid bind address (x): ...".
Result<ListenAddress> parse_listen_address(std::string_view text);

}  // namespace berth::berthd
