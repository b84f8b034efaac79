// Forgetting neighbours.
#include "sys/netlink_neighbour.h"

#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include <string>

#include "sys/netlink_message.h"

namespace berth::sys {

void forget_neighbour(uint32_t link, const IpAddress& address) {
  auto socket = open_netlink(NETLINK_ROUTE);
  if (!socket) return;
  ndmsg header{};
  header.ndm_family = static_cast<uint8_t>(address.address_family());
  header.ndm_ifindex = static_cast<int>(link);
  std::string bytes;
  NetlinkMessage message(bytes, RTM_DELNEIGH, NLM_F_REQUEST, header);
  message.attribute(NDA_DST, address.bytes());
  message.finish();
  (void)send_netlink(socket->get(), bytes, "forget neighbour");
}

}  // namespace berth::sys
