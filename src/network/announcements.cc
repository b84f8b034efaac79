// Frames and schedules of announcements.
#include "network/announcements.h"

#include <linux/if_ether.h>
#include <netinet/in.h>

#include <charconv>
#include <optional>

#include "base/format.h"

namespace berth::network {
namespace {

struct Bounds {
  std::string_view option;
  int low, high;
  std::string_view words;
};
constexpr Bounds kCount = {kOptionAnnouncements, 0, 3, "must be an integer"};
constexpr Bounds kInterval = {kOptionAnnouncementInterval, 100, 2000, "must be integer milliseconds"};

/// Nothing where the option is not given.
Result<std::optional<int>> option_within(const NetworkRecord& network, const Bounds& bounds) {
  auto found = network.options.find(std::string(bounds.option));
  if (found == network.options.end()) return std::optional<int>();
  const std::string& text = found->second;
  int value = 0;
  auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (status != std::errc() || end != text.data() + text.size()) {
    return failure(Kind::InvalidArgument, "value for option {} \"{}\" {}", bounds.option, text.substr(0, 64),
                   bounds.words);
  }
  if (value < bounds.low || value > bounds.high) {
    return failure(Kind::InvalidArgument, "{} must be in the range {} to {}", bounds.option, bounds.low,
                   bounds.high);
  }
  return std::optional(value);
}

using Bytes = std::vector<uint8_t>;

void append(Bytes& bytes, std::span<const uint8_t> more) {
  bytes.insert(bytes.end(), more.begin(), more.end());
}

/// RFC 826, with RFC 5227's gratuitous request: the address asks for itself.
Bytes arp_request(const IpAddress& address, const MacAddress& mac) {
  Bytes bytes = {0, 1, 8, 0, 6, 4, 0, 1};  // Ethernet, IPv4, lengths of their addresses, a request
  append(bytes, mac.bytes);
  append(bytes, address.bytes());
  append(bytes, MacAddress().bytes);
  append(bytes, address.bytes());
  return bytes;
}

/// The Internet's checksum over whole 16-bit words.
uint16_t checksum(std::span<const uint8_t> bytes) {
  uint32_t sum = 0;
  for (size_t i = 0; i + 1 < bytes.size(); i += 2) sum += static_cast<uint32_t>(bytes[i] << 8 | bytes[i + 1]);
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

/// An IPv6 packet from the address to all nodes of the link.
Bytes neighbour_advertisement(const IpAddress& address, const MacAddress& mac) {
  constexpr uint8_t kAllNodes[16] = {0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  constexpr uint8_t kOverride = 0x20;
  Bytes message = {136, 0, 0, 0, kOverride, 0, 0, 0};
  append(message, address.bytes());
  append(message, Bytes{2, 1});  // the target's link-layer address, eight bytes
  append(message, mac.bytes);
  const auto length = static_cast<uint8_t>(message.size());

  Bytes summed(address.bytes().begin(), address.bytes().end());  // RFC 8200 8.1
  append(summed, kAllNodes);
  append(summed, Bytes{0, 0, 0, length, 0, 0, 0, IPPROTO_ICMPV6});
  append(summed, message);
  uint16_t sum = checksum(summed);
  message[2] = static_cast<uint8_t>(sum >> 8);
  message[3] = static_cast<uint8_t>(sum);

  // Hop limit 255: what has passed a router is believed by nobody.
  Bytes packet = {0x60, 0, 0, 0, 0, length, IPPROTO_ICMPV6, 255};
  append(packet, address.bytes());
  append(packet, kAllNodes);
  append(packet, message);
  return packet;
}

}  // namespace

AnnouncementSchedule announcement_schedule(const NetworkRecord& network) {
  AnnouncementSchedule schedule;
  auto count = option_within(network, kCount);
  if (count && *count) schedule.count = static_cast<unsigned>(**count);
  auto interval = option_within(network, kInterval);
  if (interval && *interval) schedule.interval = std::chrono::milliseconds(**interval);
  return schedule;
}

Result<void> check_announcements(const NetworkRecord& network) {
  for (const Bounds& bounds : {kCount, kInterval}) {
    auto value = option_within(network, bounds);
    if (!value) return std::move(value).error();
  }
  return {};
}

AnnouncementFrame announcement_frame(const IpAddress& address, const MacAddress& mac) {
  if (address.is_v4()) return {ETH_P_ARP, {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}, arp_request(address, mac)};
  return {ETH_P_IPV6, {{0x33, 0x33, 0, 0, 0, 1}}, neighbour_advertisement(address, mac)};
}

}  // namespace berth::network
