// Neighbours by rtnetlink.
#include "sys/netlink_neighbour.h"

#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <cerrno>
#include <optional>
#include <string>

#include "sys/netlink_message.h"

namespace berth::sys {
namespace {

/// Sends one request and reads up to its last answer; `visit` gets what is no acknowledgement. `pardoned`:
/// an errno that is none.
Result<void> request(const std::string& bytes, std::string_view operation, const IpAddress& subject,
                     int pardoned, const std::function<void(const NetlinkReply&)>& visit) {
  TRY(UniqueFd socket, open_netlink(NETLINK_ROUTE));
  CHECK(send_netlink(socket.get(), bytes, operation));
  std::optional<Error> error;
  CHECK(receive_netlink(socket.get(), operation, [&](const NetlinkReply& reply) {
    if (reply.type == NLMSG_DONE) return false;
    if (reply.type != NLMSG_ERROR) {
      visit(reply);
      return true;
    }
    NetlinkFailure failed = parse_netlink_error(reply);
    if (failed.errno_value != 0 && failed.errno_value != pardoned)
      error = netlink_error(operation, subject.to_string(), failed);
    return false;
  }));
  if (error) return *std::move(error);
  return {};
}

Result<void> change_proxy(uint16_t type, uint16_t flags, uint32_t link, const IpAddress& address,
                          std::string_view operation, int pardoned) {
  ndmsg header{};
  header.ndm_family = static_cast<uint8_t>(address.address_family());
  header.ndm_ifindex = static_cast<int>(link);
  header.ndm_flags = NTF_PROXY;
  std::string bytes;
  NetlinkMessage message(bytes, type, NLM_F_REQUEST | NLM_F_ACK | flags, header);
  message.attribute(NDA_DST, address.bytes());
  message.finish();
  return request(bytes, operation, address, pardoned, [](const NetlinkReply&) {});
}

}  // namespace

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

Result<void> begin_neighbour_proxy(uint32_t link, const IpAddress& address) {
  return change_proxy(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, link, address, "answer for neighbour",
                      EEXIST);
}

Result<void> end_neighbour_proxy(uint32_t link, const IpAddress& address) {
  return change_proxy(RTM_DELNEIGH, 0, link, address, "stop answering for neighbour", ENOENT);
}

Result<std::vector<IpAddress>> neighbour_proxies(uint32_t link) {
  std::vector<IpAddress> addresses;
  ndmsg header{};
  header.ndm_family = AF_INET6;
  header.ndm_flags = NTF_PROXY;
  std::string bytes;
  NetlinkMessage message(bytes, RTM_GETNEIGH, NLM_F_REQUEST | NLM_F_DUMP, header);
  message.finish();
  auto visit = [&](const NetlinkReply& reply) {
    ndmsg neighbour;
    if (reply.type != RTM_NEWNEIGH || reply.payload.size() < sizeof(neighbour)) return;
    std::memcpy(&neighbour, reply.payload.data(), sizeof(neighbour));
    if (neighbour.ndm_ifindex != static_cast<int>(link)) return;
    for_each_attribute(reply.payload.subspan(sizeof(neighbour)), [&](const NetlinkAttribute& attribute) {
      if (attribute.type != NDA_DST) return;
      if (auto address = IpAddress::from_bytes(attribute.value)) addresses.push_back(*address);
    });
  };
  CHECK(request(bytes, "list neighbours that are answered for", IpAddress::any(IpFamily::V6), 0, visit));
  return addresses;
}

}  // namespace berth::sys
