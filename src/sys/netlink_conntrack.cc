// Deleting tracked flows.
#include "sys/netlink_conntrack.h"

#include <endian.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <optional>

#include "sys/netlink_message.h"

namespace berth::sys {
namespace {

// Bits of CTA_FILTER_ORIG_FLAGS: which fields of the given tuple count (net/netfilter/nf_internals.h).
constexpr uint32_t kFilterProtocol = 1u << 3;
constexpr uint32_t kFilterDestinationPort = 1u << 5;

}  // namespace

Result<ConntrackSocket> ConntrackSocket::open() {
  TRY(UniqueFd fd, open_netlink(NETLINK_NETFILTER));
  return ConntrackSocket(std::move(fd));
}

Result<void> ConntrackSocket::forget_udp(IpFamily family, uint16_t port) {
  nfgenmsg header{};
  header.nfgen_family = family == IpFamily::V4 ? AF_INET : AF_INET6;
  header.version = NFNETLINK_V0;
  std::string bytes;
  NetlinkMessage message(bytes, NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE, NLM_F_REQUEST | NLM_F_ACK,
                         header);
  message.nest(CTA_TUPLE_ORIG, [&](NetlinkMessage& tuple) {
    tuple.nest(CTA_TUPLE_PROTO, [&](NetlinkMessage& protocol) {
      protocol.u8(CTA_PROTO_NUM, IPPROTO_UDP);
      protocol.u16(CTA_PROTO_DST_PORT, htobe16(port));
    });
  });
  message.nest(CTA_FILTER, [](NetlinkMessage& filter) {
    filter.u32(CTA_FILTER_ORIG_FLAGS, kFilterProtocol | kFilterDestinationPort);
    filter.u32(CTA_FILTER_REPLY_FLAGS, 0);
  });
  message.finish();
  nlmsghdr first;
  std::memcpy(&first, bytes.data(), sizeof(first));
  uint32_t sequence = first.nlmsg_seq = sequence_++;
  std::memcpy(bytes.data(), &first, sizeof(first));
  CHECK(send_netlink(fd_.get(), bytes, "forget flows"));
  std::optional<Error> error;
  CHECK(receive_netlink(fd_.get(), "forget flows", [&](const NetlinkReply& reply) {
    if (reply.type != NLMSG_ERROR || reply.sequence != sequence) return true;
    NetlinkFailure failed = parse_netlink_error(reply);
    if (failed.errno_value != 0) error = netlink_error("forget flows", {}, failed);
    return false;
  }));
  if (error) return *std::move(error);
  return {};
}

}  // namespace berth::sys
