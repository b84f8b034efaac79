// Reading and writing of requests.
#include "apps/berthd/rootless/messages.h"

#include <algorithm>
#include <cstring>
#include <span>

namespace berth::berthd::rootless {

std::optional<Request> parse_request(std::string_view packet) {
  Request request;
  if (packet.size() != sizeof request) return std::nullopt;
  std::memcpy(&request, packet.data(), sizeof request);
  bool known = request.ask >= Ask::Enter && request.ask <= Ask::End;
  if (request.version != kProtocolVersion || !known) return std::nullopt;
  return request;
}

Request request_for(Ask ask, network::Protocol protocol, const sys::IpAddress& address, uint16_t port) {
  Request request{.ask = ask,
                  .protocol = static_cast<uint8_t>(protocol),
                  .family = static_cast<uint8_t>(address.is_v6() ? 6 : 4),
                  .port = port};
  std::ranges::copy(address.bytes(), request.address.begin());
  return request;
}

std::optional<sys::IpAddress> address_of(const Request& request) {
  if (request.family != 4 && request.family != 6) return std::nullopt;
  auto address = sys::IpAddress::from_bytes(
      std::span<const uint8_t>(request.address).first(request.family == 6 ? 16 : 4));
  if (!address) return std::nullopt;
  return *address;
}

}  // namespace berth::berthd::rootless
