// What the daemon of an ordinary user and its namespace host say to each other: packets of one fixed header,
// text behind it, descriptors beside it. Both ends are this program, perhaps in two versions.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "network/records.h"

namespace berth::berthd::rootless {

inline constexpr uint32_t kProtocolVersion = 1;
inline constexpr size_t kMaxPacket = size_t{64} << 10;

enum class Ask : uint32_t {
  Enter = 1,    ///< answered with the user, mount and network namespace; ports held so far become doubtful
  Hold = 2,     ///< answered with a bound (tcp: listening) socket of the host's network namespace
  Release = 3,  ///< the socket is closed
  Settle = 4,   ///< ports that are doubtful still are released
  End = 5,      ///< nothing runs any more: the host ends, and with it the namespaces
};

struct Request {
  uint32_t version = kProtocolVersion;
  Ask ask = Ask::Enter;
  uint8_t protocol = 0;  ///< IPPROTO_*
  uint8_t family = 0;    ///< 4 or 6
  uint16_t port = 0;
  std::array<uint8_t, 16> address{};
  auto operator<=>(const Request&) const = default;
};

struct Answer {
  uint32_t version = kProtocolVersion;
  int32_t error = 0;  ///< errno
};

inline std::string_view bytes_of(const Request& request) {
  return {reinterpret_cast<const char*>(&request), sizeof request};
}

/// Nothing when the packet is none of ours.
std::optional<Request> parse_request(std::string_view packet);
Request request_for(Ask ask, network::Protocol protocol, const sys::IpAddress& address, uint16_t port);
/// The address that a Hold or Release names; nothing when it is malformed.
std::optional<sys::IpAddress> address_of(const Request& request);

}  // namespace berth::berthd::rootless
