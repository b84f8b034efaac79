// What a container's interface says of itself when it comes: a MAC address is another one at each start, and
// neighbours who have spoken to its addresses before have to unlearn. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "network/records.h"

namespace berth::network {

/// docker's options of a network: how often, 0 to 3, and how long after each other, 100 to 2000 ms.
inline constexpr std::string_view kOptionAnnouncements = "com.docker.network.advertise_addr_nmsgs";
inline constexpr std::string_view kOptionAnnouncementInterval = "com.docker.network.advertise_addr_ms";

struct AnnouncementSchedule {
  unsigned count = 3;
  std::chrono::milliseconds interval{1000};
};
/// As the network's options say; they have been checked.
AnnouncementSchedule announcement_schedule(const NetworkRecord& network);
/// InvalidArgument, in docker's words.
Result<void> check_announcements(const NetworkRecord& network);

/// One frame for all on the link.
struct AnnouncementFrame {
  uint16_t protocol = 0;  ///< EtherType
  MacAddress to;
  std::vector<uint8_t> payload;
};
/// A gratuitous ARP request (IPv4), or an unsolicited neighbour advertisement that overrides what is known
/// (IPv6, RFC 4861 7.2.6).
AnnouncementFrame announcement_frame(const IpAddress& address, const MacAddress& mac);

}  // namespace berth::network
