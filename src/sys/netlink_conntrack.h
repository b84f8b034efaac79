// Connection tracking by netlink: forgetting flows whose translation has changed. An UDP flow lives as long
// as its sender goes on, so that a sender would keep reaching what the port led to before.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "sys/fd.h"
#include "sys/ip_address.h"

namespace berth::sys {

class ConntrackSocket {
 public:
  ConntrackSocket() = default;
  /// In the calling thread's namespace.
  static Result<ConntrackSocket> open();
  /// Forgets every UDP flow of the family to `port`. Kernels before 6.6 cannot select by port and answer
  /// NotFound or Unsupported.
  Result<void> forget_udp(IpFamily family, uint16_t port);

 private:
  explicit ConntrackSocket(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
  uint32_t sequence_ = 1;
};

}  // namespace berth::sys
