// rtnetlink: links, addresses, routes and neighbours, written as one batch per network namespace. A batch is
// a plain byte buffer that unit tests can look into; a RouteSocket performs it. No process is spawned and the
// calling thread never changes its namespace.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "sys/fd.h"
#include "sys/ip_address.h"

namespace berth::sys {

struct NetlinkReply;

/// Whether the kernel makes link-local IPv6 addresses for a link.
enum class Ipv6LinkLocal { Generate, None };

struct NewBridge {
  std::string name;
  MacAddress mac;    ///< fixed, so that it does not follow the ports'; zero: kernel's choice
  uint32_t mtu = 0;  ///< 0: kernel's default
  /// Shown by `ip link`; says whose the bridge is. Empty: none.
  std::string alias = {};
};

/// A pair made in one message: one end here, enslaved to a bridge; the other, down, in `peer_netns`.
struct NewVeth {
  std::string name;
  uint32_t master = 0;  ///< link index of the bridge; 0: none
  bool up = true;       ///< this end
  uint32_t mtu = 0;
  int peer_netns = -1;  ///< descriptor
  std::string peer_name = "eth0";
  MacAddress peer_mac;
};

/// A further interface on a link of the host, made in another namespace.
enum class SublinkKind { Macvlan, Ipvlan };
struct NewSublink {
  std::string name;
  uint32_t parent = 0;  ///< link index here
  SublinkKind kind = SublinkKind::Macvlan;
  uint32_t mode = 0;   ///< MACVLAN_MODE_* or IPVLAN_MODE_* of linux/if_link.h
  uint16_t flags = 0;  ///< IPVLAN_F_*: who may speak to whom (0: all of one parent)
  MacAddress mac;      ///< zero: kernel's choice
  uint32_t mtu = 0;    ///< 0: the parent's
  int netns = -1;      ///< descriptor
};

/// An interface for one VLAN of a link (802.1q), up.
struct NewVlan {
  std::string name;
  uint32_t parent = 0;  ///< link index
  uint16_t id = 0;      ///< 1 to 4094
  std::string alias = {};
};

/// An interface that leads nowhere, up.
struct NewDummy {
  std::string name;
  std::string alias = {};
};

struct LinkChange {
  uint32_t index = 0;  ///< or by name when 0
  std::string name;
  std::optional<bool> up;
  std::optional<uint32_t> mtu;
  std::optional<uint32_t> master;  ///< 0: leave the bridge
  std::optional<MacAddress> mac;
  std::string new_name;
  /// Takes effect when the link goes up next: a message of its own before the one that sets `up`.
  Ipv6LinkLocal link_local = Ipv6LinkLocal::Generate;
  int netns = -1;  ///< move there
};

/// Bridge port flags of a link that is enslaved.
struct BridgePortChange {
  std::string name;
  std::optional<bool> hairpin;
  std::optional<bool> isolated;  ///< isolated ports do not talk to each other (icc=false)
};

struct NewAddress {
  uint32_t link = 0;
  IpPrefix address;
};

struct NewRoute {
  IpPrefix destination;  ///< 0.0.0.0/0 or ::/0 for the default route
  std::optional<IpAddress> gateway;
  uint32_t link = 0;    ///< 0: from the gateway
  uint32_t metric = 0;  ///< 0: kernel's default
};

struct NewNeighbour {
  uint32_t link = 0;
  IpAddress address;
  MacAddress mac;
};

/// Messages to be sent with one sendmsg(2). The kernel performs them in order; a failed one does not stop
/// those behind it, and the batch's result names the first that failed.
class RouteBatch {
 public:
  RouteBatch& create_bridge(const NewBridge& bridge);
  RouteBatch& create_veth(const NewVeth& veth);
  RouteBatch& create_sublink(const NewSublink& link);
  RouteBatch& create_vlan(const NewVlan& vlan);
  RouteBatch& create_dummy(const NewDummy& dummy);
  RouteBatch& change_link(const LinkChange& change);
  RouteBatch& change_bridge_port(const BridgePortChange& change);
  RouteBatch& delete_link(std::string_view name);
  RouteBatch& delete_link(uint32_t index);
  /// Puts a link into a group of links; deleting the group takes hardly longer than deleting one of them.
  RouteBatch& set_group(std::string_view name, uint32_t group);
  RouteBatch& delete_group(uint32_t group);
  /// IPv4 with its broadcast address; IPv6 without duplicate address detection.
  RouteBatch& add_address(const NewAddress& address);
  RouteBatch& delete_address(const NewAddress& address);
  RouteBatch& add_route(const NewRoute& route);
  RouteBatch& delete_route(const NewRoute& route);
  RouteBatch& set_neighbour(const NewNeighbour& neighbour);

  bool empty() const { return steps_.empty(); }
  const std::string& bytes() const { return bytes_; }

 private:
  friend class RouteSocket;
  struct Step {
    std::string_view operation;  ///< static text: "create bridge"
    std::string subject;
    size_t offset;  ///< of its message header in bytes_
  };
  std::string& begin(std::string_view operation, std::string subject);
  std::string bytes_;
  std::vector<Step> steps_;
};

struct Link {
  uint32_t index = 0;
  std::string name;
  std::string kind;  ///< "bridge", "veth", ...
  std::string alias = {};
  MacAddress mac;
  uint32_t mtu = 0;
  uint32_t master = 0;
  bool up = false;
};

struct LinkAddress {
  uint32_t link = 0;
  IpPrefix address;
};

struct Route {
  IpPrefix destination;
  std::optional<IpAddress> gateway;
  uint32_t link = 0;
  uint32_t table = 0;
};

/// Counters of a link as docker's stats show them.
struct LinkStatistics {
  std::string name;
  uint64_t rx_bytes = 0, rx_packets = 0, rx_errors = 0, rx_dropped = 0;
  uint64_t tx_bytes = 0, tx_packets = 0, tx_errors = 0, tx_dropped = 0;
};

/// A NETLINK_ROUTE socket bound to the network namespace it was made in, whichever thread uses it later.
class RouteSocket {
 public:
  RouteSocket() = default;
  /// In the calling thread's namespace.
  static Result<RouteSocket> open();
  /// In another namespace: a short-lived thread enters it and makes the socket (some 50 us).
  static Result<RouteSocket> open_in(int netns);
  explicit operator bool() const { return static_cast<bool>(fd_); }

  /// Performs the batch: one sendmsg, then the kernel's answers. The error of the first step that failed.
  Result<void> run(RouteBatch& batch);
  /// NotFound when there is no such link.
  Result<Link> link(std::string_view name);
  Result<std::vector<Link>> links();
  Result<std::vector<LinkAddress>> addresses();
  /// All unicast routes of all tables but `local`.
  Result<std::vector<Route>> routes();
  /// NotFound when there is no such link.
  Result<LinkStatistics> statistics(std::string_view name);

 private:
  explicit RouteSocket(UniqueFd fd) : fd_(std::move(fd)) {}
  Result<void> request(std::string& message, std::string_view operation, std::string_view subject,
                       const std::function<void(const NetlinkReply&)>& visit);
  UniqueFd fd_;
  uint32_t sequence_ = 1;
};

/// Whether the kernel of the calling thread's namespace knows IPv6.
bool has_ipv6();
/// Writes /proc/sys/<path> of the calling thread's namespaces; `path` like "net/ipv4/ip_forward". `procfs`: a
/// directory in place of /proc.
Result<void> write_sysctl(std::string_view path, std::string_view value, int procfs = -1);
/// Without trailing newline.
Result<std::string> read_sysctl(std::string_view path);

}  // namespace berth::sys
