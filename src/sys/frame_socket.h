// Frames written by hand to an interface of any network namespace.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"
#include "sys/fd.h"
#include "sys/ip_address.h"

namespace berth::sys {

/// A socket that sends on one Ethernet interface and receives nothing. Closing one waits for all processors
/// to have passed a quiescent state (6 to 30 ms): not on a thread that somebody waits for.
class FrameSocket {
 public:
  /// `netns` is a descriptor of the namespace that has the interface. The calling thread enters it and comes
  /// back to `home`; where it cannot come back the process ends. NotFound: there is no such interface.
  static Result<FrameSocket> open_in(int netns, int home, std::string_view interface);
  /// The interface's address now.
  Result<MacAddress> mac() const;
  /// `protocol` is an EtherType in the host's byte order; the sender's address is the interface's.
  Result<void> send(uint16_t protocol, const MacAddress& to, std::span<const uint8_t> payload) const;

 private:
  FrameSocket(UniqueFd fd, std::string interface, int index)
      : fd_(std::move(fd)), interface_(std::move(interface)), index_(index) {}
  UniqueFd fd_;
  std::string interface_;
  int index_;
};

}  // namespace berth::sys
