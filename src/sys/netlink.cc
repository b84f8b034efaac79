// rtnetlink: encoding of link, address and route changes, and the dumps of their present state.
#include "sys/netlink.h"

#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <sys/socket.h>

#include <cerrno>
#include <thread>

#include "base/format.h"
#include "sys/netlink_message.h"

namespace berth::sys {
namespace {

constexpr uint16_t kCreate = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL;

ifinfomsg link_header(uint32_t index, unsigned flags = 0, unsigned change = 0) {
  ifinfomsg header{};
  header.ifi_family = AF_UNSPEC;
  header.ifi_index = static_cast<int>(index);
  header.ifi_flags = flags;
  header.ifi_change = change;
  return header;
}

/// IFLA_AF_SPEC that keeps the kernel from making link-local addresses.
void no_link_local(NetlinkMessage& message) {
  message.nest(IFLA_AF_SPEC, [](NetlinkMessage& spec) {
    spec.nest(AF_INET6,
              [](NetlinkMessage& inet6) { inet6.u8(IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE); });
  });
}

std::string name_or_index(std::string_view name, uint32_t index) {
  return name.empty() ? fmt::format("#{}", index) : std::string(name);
}

ifaddrmsg address_header(const NewAddress& address) {
  ifaddrmsg header{};
  header.ifa_family = static_cast<uint8_t>(address.address.address.address_family());
  header.ifa_prefixlen = address.address.length;
  header.ifa_scope = RT_SCOPE_UNIVERSE;
  header.ifa_index = address.link;
  return header;
}

void route_message(std::string& buffer, uint16_t type, uint16_t flags, const NewRoute& route) {
  rtmsg header{};
  header.rtm_family = static_cast<uint8_t>(route.destination.address.address_family());
  header.rtm_dst_len = route.destination.length;
  header.rtm_table = RT_TABLE_MAIN;
  header.rtm_protocol = RTPROT_STATIC;
  header.rtm_type = RTN_UNICAST;
  header.rtm_scope = route.gateway ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
  if (route.destination.family() == IpFamily::V6) header.rtm_scope = RT_SCOPE_UNIVERSE;
  NetlinkMessage message(buffer, type, flags, header);
  if (route.destination.length > 0) message.attribute(RTA_DST, route.destination.address.bytes());
  if (route.gateway) message.attribute(RTA_GATEWAY, route.gateway->bytes());
  if (route.link != 0) message.u32(RTA_OIF, route.link);
  if (route.metric != 0) message.u32(RTA_PRIORITY, route.metric);
}

template <class Header>
Header payload_header(const NetlinkReply& reply) {
  Header header{};
  std::memcpy(&header, reply.payload.data(), std::min(sizeof(header), reply.payload.size()));
  return header;
}

template <class Header>
std::span<const uint8_t> after_header(const NetlinkReply& reply) {
  size_t size = NLMSG_ALIGN(sizeof(Header));
  return reply.payload.size() < size ? std::span<const uint8_t>() : reply.payload.subspan(size);
}

Link parse_link(const NetlinkReply& reply) {
  Link link;
  auto header = payload_header<ifinfomsg>(reply);
  link.index = static_cast<uint32_t>(header.ifi_index);
  link.up = (header.ifi_flags & IFF_UP) != 0;
  for_each_attribute(after_header<ifinfomsg>(reply), [&](const NetlinkAttribute& attribute) {
    switch (attribute.type) {
      case IFLA_IFNAME:
        link.name = attribute.text();
        break;
      case IFLA_IFALIAS:
        link.alias = attribute.text();
        break;
      case IFLA_MTU:
        link.mtu = attribute.u32();
        break;
      case IFLA_MASTER:
        link.master = attribute.u32();
        break;
      case IFLA_ADDRESS:
        if (attribute.value.size() == 6) std::copy_n(attribute.value.begin(), 6, link.mac.bytes.begin());
        break;
      case IFLA_LINKINFO:
        for_each_attribute(attribute.value, [&](const NetlinkAttribute& inner) {
          if (inner.type == IFLA_INFO_KIND) link.kind = inner.text();
        });
        break;
      default:
        break;
    }
  });
  return link;
}

std::optional<Route> parse_route(const NetlinkReply& reply) {
  auto header = payload_header<rtmsg>(reply);
  if (header.rtm_type != RTN_UNICAST) return std::nullopt;
  if (header.rtm_family != AF_INET && header.rtm_family != AF_INET6) return std::nullopt;
  Route route;
  route.table = header.rtm_table;
  route.destination = {IpAddress::any(header.rtm_family == AF_INET ? IpFamily::V4 : IpFamily::V6),
                       header.rtm_dst_len};
  for_each_attribute(after_header<rtmsg>(reply), [&](const NetlinkAttribute& attribute) {
    switch (attribute.type) {
      case RTA_DST:
        if (auto address = IpAddress::from_bytes(attribute.value)) route.destination.address = *address;
        break;
      case RTA_GATEWAY:
        if (auto address = IpAddress::from_bytes(attribute.value)) route.gateway = *address;
        break;
      case RTA_OIF:
        route.link = attribute.u32();
        break;
      case RTA_TABLE:
        route.table = attribute.u32();
        break;
      default:
        break;
    }
  });
  if (route.table == RT_TABLE_LOCAL) return std::nullopt;
  return route;
}

}  // namespace

std::string& RouteBatch::begin(std::string_view operation, std::string subject) {
  steps_.push_back({operation, std::move(subject), bytes_.size()});
  return bytes_;
}

namespace {

/// A message of its own: an alias is not among what a link can be made with.
template <class NewLink>
void set_alias(std::string& bytes, const NewLink& link) {
  NetlinkMessage message(bytes, RTM_NEWLINK, NLM_F_REQUEST, link_header(0));
  message.text(IFLA_IFNAME, link.name);
  message.text(IFLA_IFALIAS, link.alias);
}

}  // namespace

RouteBatch& RouteBatch::create_bridge(const NewBridge& bridge) {
  NetlinkMessage message(begin("create bridge", bridge.name), RTM_NEWLINK, kCreate,
                         link_header(0, IFF_UP, IFF_UP));
  message.text(IFLA_IFNAME, bridge.name);
  if (bridge.mtu != 0) message.u32(IFLA_MTU, bridge.mtu);
  if (!bridge.mac.is_zero()) message.attribute(IFLA_ADDRESS, bridge.mac.bytes);
  message.nest(IFLA_LINKINFO, [](NetlinkMessage& info) {
    info.text(IFLA_INFO_KIND, "bridge");
    // Containers talk at once: ports forward from the first moment, and nobody needs the spanning tree.
    info.nest(IFLA_INFO_DATA, [](NetlinkMessage& data) {
      data.u32(IFLA_BR_FORWARD_DELAY, 0);
      data.u32(IFLA_BR_STP_STATE, 0);
    });
  });
  message.finish();
  if (!bridge.alias.empty()) set_alias(begin("name the owner of", bridge.name), bridge);
  return *this;
}

RouteBatch& RouteBatch::create_veth(const NewVeth& veth) {
  NetlinkMessage message(begin("create veth", veth.name), RTM_NEWLINK, kCreate,
                         link_header(0, IFF_UP, IFF_UP));
  message.text(IFLA_IFNAME, veth.name);
  if (veth.mtu != 0) message.u32(IFLA_MTU, veth.mtu);
  if (veth.master != 0) message.u32(IFLA_MASTER, veth.master);
  message.nest(IFLA_LINKINFO, [&](NetlinkMessage& info) {
    info.text(IFLA_INFO_KIND, "veth");
    info.nest(IFLA_INFO_DATA, [&](NetlinkMessage& data) {
      data.nest(VETH_INFO_PEER, [&](NetlinkMessage& peer) {
        // Not up: the driver refuses that until the pair is complete.
        ifinfomsg header = link_header(0);
        peer.raw({reinterpret_cast<const uint8_t*>(&header), sizeof(header)});
        peer.text(IFLA_IFNAME, veth.peer_name);
        if (veth.mtu != 0) peer.u32(IFLA_MTU, veth.mtu);
        if (!veth.peer_mac.is_zero()) peer.attribute(IFLA_ADDRESS, veth.peer_mac.bytes);
        if (veth.peer_netns >= 0) peer.u32(IFLA_NET_NS_FD, static_cast<uint32_t>(veth.peer_netns));
      });
    });
  });
  return *this;
}

RouteBatch& RouteBatch::create_sublink(const NewSublink& link) {
  bool macvlan = link.kind == SublinkKind::Macvlan;
  NetlinkMessage message(begin(macvlan ? "create macvlan" : "create ipvlan", link.name), RTM_NEWLINK, kCreate,
                         link_header(0));
  message.text(IFLA_IFNAME, link.name);
  message.u32(IFLA_LINK, link.parent);
  if (link.mtu != 0) message.u32(IFLA_MTU, link.mtu);
  if (!link.mac.is_zero()) message.attribute(IFLA_ADDRESS, link.mac.bytes);
  if (link.netns >= 0) message.u32(IFLA_NET_NS_FD, static_cast<uint32_t>(link.netns));
  message.nest(IFLA_LINKINFO, [&](NetlinkMessage& info) {
    info.text(IFLA_INFO_KIND, macvlan ? "macvlan" : "ipvlan");
    info.nest(IFLA_INFO_DATA, [&](NetlinkMessage& data) {
      if (macvlan) {
        data.u32(IFLA_MACVLAN_MODE, link.mode);
      } else {
        data.u16(IFLA_IPVLAN_MODE, static_cast<uint16_t>(link.mode));
        if (link.flags != 0) data.u16(IFLA_IPVLAN_FLAGS, link.flags);
      }
    });
  });
  return *this;
}

RouteBatch& RouteBatch::create_vlan(const NewVlan& vlan) {
  NetlinkMessage message(begin("create VLAN", vlan.name), RTM_NEWLINK, kCreate,
                         link_header(0, IFF_UP, IFF_UP));
  message.text(IFLA_IFNAME, vlan.name);
  message.u32(IFLA_LINK, vlan.parent);
  message.nest(IFLA_LINKINFO, [&](NetlinkMessage& info) {
    info.text(IFLA_INFO_KIND, "vlan");
    info.nest(IFLA_INFO_DATA, [&](NetlinkMessage& data) { data.u16(IFLA_VLAN_ID, vlan.id); });
  });
  message.finish();
  if (!vlan.alias.empty()) set_alias(begin("name the owner of", vlan.name), vlan);
  return *this;
}

RouteBatch& RouteBatch::create_dummy(const NewDummy& dummy) {
  NetlinkMessage message(begin("create dummy", dummy.name), RTM_NEWLINK, kCreate,
                         link_header(0, IFF_UP, IFF_UP));
  message.text(IFLA_IFNAME, dummy.name);
  message.nest(IFLA_LINKINFO, [](NetlinkMessage& info) { info.text(IFLA_INFO_KIND, "dummy"); });
  message.finish();
  if (!dummy.alias.empty()) set_alias(begin("name the owner of", dummy.name), dummy);
  return *this;
}

RouteBatch& RouteBatch::change_link(const LinkChange& change) {
  unsigned flags = change.up.value_or(false) ? unsigned{IFF_UP} : 0u;
  unsigned mask = change.up ? unsigned{IFF_UP} : 0u;
  NetlinkMessage message(begin("change link", name_or_index(change.name, change.index)), RTM_NEWLINK,
                         NLM_F_REQUEST, link_header(change.index, flags, mask));
  if (change.index == 0) message.text(IFLA_IFNAME, change.name);
  if (change.index != 0 && !change.new_name.empty()) message.text(IFLA_IFNAME, change.new_name);
  if (change.mtu) message.u32(IFLA_MTU, *change.mtu);
  if (change.master) message.u32(IFLA_MASTER, *change.master);
  if (change.mac) message.attribute(IFLA_ADDRESS, change.mac->bytes);
  if (change.link_local == Ipv6LinkLocal::None) no_link_local(message);
  if (change.netns >= 0) message.u32(IFLA_NET_NS_FD, static_cast<uint32_t>(change.netns));
  return *this;
}

RouteBatch& RouteBatch::change_bridge_port(const BridgePortChange& change) {
  NetlinkMessage message(begin("change bridge port", change.name), RTM_NEWLINK, NLM_F_REQUEST,
                         link_header(0));
  message.text(IFLA_IFNAME, change.name);
  message.nest(IFLA_LINKINFO, [&](NetlinkMessage& info) {
    info.text(IFLA_INFO_SLAVE_KIND, "bridge");
    info.nest(IFLA_INFO_SLAVE_DATA, [&](NetlinkMessage& port) {
      if (change.hairpin) port.u8(IFLA_BRPORT_MODE, *change.hairpin ? 1 : 0);
      if (change.isolated) port.u8(IFLA_BRPORT_ISOLATED, *change.isolated ? 1 : 0);
    });
  });
  return *this;
}

RouteBatch& RouteBatch::delete_link(std::string_view name) {
  NetlinkMessage message(begin("delete link", std::string(name)), RTM_DELLINK, NLM_F_REQUEST, link_header(0));
  message.text(IFLA_IFNAME, name);
  return *this;
}

RouteBatch& RouteBatch::set_group(std::string_view name, uint32_t group) {
  NetlinkMessage message(begin("group link", std::string(name)), RTM_NEWLINK, NLM_F_REQUEST, link_header(0));
  message.text(IFLA_IFNAME, name);
  message.u32(IFLA_GROUP, group);
  return *this;
}

RouteBatch& RouteBatch::delete_group(uint32_t group) {
  NetlinkMessage message(begin("delete links of group", fmt::to_string(group)), RTM_DELLINK, NLM_F_REQUEST,
                         link_header(0));
  message.u32(IFLA_GROUP, group);
  return *this;
}

RouteBatch& RouteBatch::delete_link(uint32_t index) {
  NetlinkMessage message(begin("delete link", name_or_index({}, index)), RTM_DELLINK, NLM_F_REQUEST,
                         link_header(index));
  return *this;
}

RouteBatch& RouteBatch::add_address(const NewAddress& address) {
  NetlinkMessage message(begin("add address", address.address.to_string()), RTM_NEWADDR, kCreate,
                         address_header(address));
  message.attribute(IFA_LOCAL, address.address.address.bytes());
  message.attribute(IFA_ADDRESS, address.address.address.bytes());
  if (address.address.family() == IpFamily::V6) {
    message.u32(IFA_FLAGS, IFA_F_NODAD | IFA_F_PERMANENT);
  } else if (address.address.length < 31) {
    message.attribute(IFA_BROADCAST, address.address.last().bytes());
  }
  return *this;
}

RouteBatch& RouteBatch::delete_address(const NewAddress& address) {
  NetlinkMessage message(begin("delete address", address.address.to_string()), RTM_DELADDR, NLM_F_REQUEST,
                         address_header(address));
  message.attribute(IFA_LOCAL, address.address.address.bytes());
  return *this;
}

RouteBatch& RouteBatch::add_route(const NewRoute& route) {
  route_message(begin("add route", route.destination.to_string()), RTM_NEWROUTE, kCreate, route);
  return *this;
}

RouteBatch& RouteBatch::delete_route(const NewRoute& route) {
  route_message(begin("delete route", route.destination.to_string()), RTM_DELROUTE, NLM_F_REQUEST, route);
  return *this;
}

RouteBatch& RouteBatch::set_neighbour(const NewNeighbour& neighbour) {
  ndmsg header{};
  header.ndm_family = static_cast<uint8_t>(neighbour.address.address_family());
  header.ndm_ifindex = static_cast<int>(neighbour.link);
  header.ndm_state = NUD_PERMANENT;
  NetlinkMessage message(begin("set neighbour", neighbour.address.to_string()), RTM_NEWNEIGH,
                         NLM_F_REQUEST | NLM_F_CREATE | NLM_F_REPLACE, header);
  message.attribute(NDA_DST, neighbour.address.bytes());
  message.attribute(NDA_LLADDR, neighbour.mac.bytes);
  return *this;
}

Result<RouteSocket> RouteSocket::open() {
  TRY(UniqueFd fd, open_netlink(NETLINK_ROUTE));
  return RouteSocket(std::move(fd));
}

Result<RouteSocket> RouteSocket::open_in(int netns) {
  // setns(2) changes the calling thread alone, so a thread that ends here does it: whatever fails, the
  // daemon's own threads stay where they are.
  Result<RouteSocket> result = failure(Kind::Internal, "no socket");
  std::thread([&] {
    if (::setns(netns, CLONE_NEWNET) != 0) {
      result = Error::from_errno("enter network namespace", {}, errno);
    } else {
      result = open();
    }
  }).join();
  return result;
}

Result<void> RouteSocket::run(RouteBatch& batch) {
  if (batch.empty()) return {};
  uint32_t first = sequence_;
  for (size_t i = 0; i < batch.steps_.size(); ++i) {
    nlmsghdr header;
    char* place = batch.bytes_.data() + batch.steps_[i].offset;
    std::memcpy(&header, place, sizeof(header));
    header.nlmsg_seq = sequence_++;
    // Failures are always answered; of the successes only the last one's answer is needed.
    if (i + 1 == batch.steps_.size()) header.nlmsg_flags |= NLM_F_ACK;
    std::memcpy(place, &header, sizeof(header));
  }
  uint32_t last = sequence_ - 1;
  CHECK(send_netlink(fd_.get(), batch.bytes_, batch.steps_.front().operation));
  std::optional<Error> error;
  CHECK(receive_netlink(fd_.get(), batch.steps_.front().operation, [&](const NetlinkReply& reply) {
    if (reply.type != NLMSG_ERROR || reply.sequence - first > last - first) return true;
    NetlinkFailure failed = parse_netlink_error(reply);
    if (failed.errno_value != 0 && !error) {
      const auto& step = batch.steps_[reply.sequence - first];
      error = netlink_error(step.operation, step.subject, failed);
    }
    return reply.sequence != last;
  }));
  if (error) return *std::move(error);
  return {};
}

Result<void> RouteSocket::request(std::string& message, std::string_view operation, std::string_view subject,
                                  const std::function<void(const NetlinkReply&)>& visit) {
  nlmsghdr header;
  std::memcpy(&header, message.data(), sizeof(header));
  uint32_t sequence = header.nlmsg_seq = sequence_++;
  std::memcpy(message.data(), &header, sizeof(header));
  bool is_dump = (header.nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
  CHECK(send_netlink(fd_.get(), message, operation));
  std::optional<Error> error;
  CHECK(receive_netlink(fd_.get(), operation, [&](const NetlinkReply& reply) {
    if (reply.sequence != sequence) return true;  // left over from a request that failed half-way
    if (reply.type == NLMSG_ERROR) {
      NetlinkFailure failed = parse_netlink_error(reply);
      if (failed.errno_value != 0) error = netlink_error(operation, subject, failed);
      return false;
    }
    if (reply.type == NLMSG_DONE) return false;
    visit(reply);
    return is_dump;
  }));
  if (error) return *std::move(error);
  return {};
}

Result<Link> RouteSocket::link(std::string_view name) {
  std::string bytes;
  NetlinkMessage message(bytes, RTM_GETLINK, NLM_F_REQUEST, link_header(0));
  message.text(IFLA_IFNAME, name).u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  message.finish();
  Link link;
  CHECK(request(bytes, "find link", name, [&](const NetlinkReply& reply) { link = parse_link(reply); }));
  return link;
}

Result<std::vector<Link>> RouteSocket::links() {
  std::string bytes;
  NetlinkMessage message(bytes, RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, link_header(0));
  message.u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  message.finish();
  std::vector<Link> links;
  CHECK(request(bytes, "list links", {}, [&](const NetlinkReply& reply) {
    if (reply.type == RTM_NEWLINK) links.push_back(parse_link(reply));
  }));
  return links;
}

Result<std::vector<LinkAddress>> RouteSocket::addresses() {
  std::string bytes;
  NetlinkMessage(bytes, RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, ifaddrmsg{}).finish();
  std::vector<LinkAddress> addresses;
  CHECK(request(bytes, "list addresses", {}, [&](const NetlinkReply& reply) {
    if (reply.type != RTM_NEWADDR) return;
    auto header = payload_header<ifaddrmsg>(reply);
    std::optional<IpAddress> local;
    std::optional<IpAddress> address;
    for_each_attribute(after_header<ifaddrmsg>(reply), [&](const NetlinkAttribute& attribute) {
      auto value = IpAddress::from_bytes(attribute.value);
      if (attribute.type == IFA_LOCAL && value) local = *value;
      if (attribute.type == IFA_ADDRESS && value) address = *value;
    });
    if (!local) local = address;
    if (local) addresses.push_back({header.ifa_index, {*local, header.ifa_prefixlen}});
  }));
  return addresses;
}

Result<std::vector<Route>> RouteSocket::routes() {
  std::string bytes;
  NetlinkMessage(bytes, RTM_GETROUTE, NLM_F_REQUEST | NLM_F_DUMP, rtmsg{}).finish();
  std::vector<Route> routes;
  CHECK(request(bytes, "list routes", {}, [&](const NetlinkReply& reply) {
    if (reply.type != RTM_NEWROUTE) return;
    if (auto route = parse_route(reply)) routes.push_back(*std::move(route));
  }));
  return routes;
}

Result<LinkStatistics> RouteSocket::statistics(std::string_view name) {
  std::string bytes;
  NetlinkMessage message(bytes, RTM_GETLINK, NLM_F_REQUEST, link_header(0));
  message.text(IFLA_IFNAME, name);
  message.finish();
  LinkStatistics statistics;
  CHECK(request(bytes, "find link", name, [&](const NetlinkReply& reply) {
    for_each_attribute(after_header<ifinfomsg>(reply), [&](const NetlinkAttribute& attribute) {
      if (attribute.type == IFLA_IFNAME) statistics.name = attribute.text();
      if (attribute.type != IFLA_STATS64) return;
      rtnl_link_stats64 counters{};
      std::memcpy(&counters, attribute.value.data(), std::min(sizeof(counters), attribute.value.size()));
      statistics.rx_bytes = counters.rx_bytes;
      statistics.rx_packets = counters.rx_packets;
      statistics.rx_errors = counters.rx_errors;
      statistics.rx_dropped = counters.rx_dropped;
      statistics.tx_bytes = counters.tx_bytes;
      statistics.tx_packets = counters.tx_packets;
      statistics.tx_errors = counters.tx_errors;
      statistics.tx_dropped = counters.tx_dropped;
    });
  }));
  return statistics;
}

bool has_ipv6() {
  return ::access("/proc/sys/net/ipv6", F_OK) == 0;
}

Result<void> write_sysctl(std::string_view path, std::string_view value, int procfs) {
  std::string file = fmt::format("/proc/sys/{}", path);
  const char* opened = procfs < 0 ? file.c_str() : file.c_str() + sizeof("/proc/") - 1;
  UniqueFd fd(::openat(procfs, opened, O_WRONLY | O_CLOEXEC));
  if (!fd) return Error::from_errno("open", file, errno);
  if (::write(fd.get(), value.data(), value.size()) < 0) return Error::from_errno("write", file, errno);
  return {};
}

Result<std::string> read_sysctl(std::string_view path) {
  std::string file = fmt::format("/proc/sys/{}", path);
  TRY(UniqueFd fd, open_file(file.c_str(), O_RDONLY));
  char buffer[4096];
  ssize_t size = ::read(fd.get(), buffer, sizeof(buffer));
  if (size < 0) return Error::from_errno("read", file, errno);
  std::string_view text(buffer, static_cast<size_t>(size));
  while (text.ends_with('\n')) text.remove_suffix(1);
  return std::string(text);
}

}  // namespace berth::sys
