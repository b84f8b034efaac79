// What Networks holds, for networks.cc and networks_recovery.cc alone.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "network/address_pool.h"
#include "network/announcer.h"
#include "network/bridge.h"
#include "network/dns_server.h"
#include "network/firewall.h"
#include "network/host_ports.h"
#include "network/network_plan.h"
#include "network/networks.h"
#include "network/port_proxy.h"
#include "sys/netlink_conntrack.h"
#include "sys/nftables.h"

namespace berth::network {

/// An address whose container has left while its link is still being removed: given to another one now, that
/// one would share it with a dying namespace.
struct RestingAddress {
  std::string network_id;
  IpAddress address;
  std::string link;  ///< of the host's; empty: the interface was in the namespace alone
  std::chrono::steady_clock::time_point until;  ///< without a link to look at
};

/// A link that is open, by the endpoints of the two.
struct EndpointLink {
  std::string source;
  std::string target;
  std::vector<ExposedPort> ports;  ///< of the target; no two of them equal
};

struct Networks::State {
  NetworkOptions options;
  bool ipv6 = false;
  sys::RouteSocket routes;
  sys::NftSocket nft;
  sys::ConntrackSocket conntrack;
  BridgeLinks bridges{routes};
  std::map<std::string, NetworkRecord> networks;          ///< by id
  std::map<std::string, EndpointRecord> endpoints;        ///< by id
  std::map<std::string, std::vector<AddressPool>> pools;  ///< by network id
  HostPorts host_ports;
  PortProxy proxy;
  DnsServer dns;
  Announcer announcer;
  bool makes_given_bridge = false;  ///< --bridge names one that is berth's to make
  bool table_present = false;
  bool forwards4 = false;  ///< the host forwards packets, as far as we have made sure
  bool forwards6 = false;
  std::set<IpFamily> new_router;              ///< families that are forwarded since now, by berth's doing
  std::set<IpFamily> host_filter_complaints;  ///< families whose failure has been told
  std::optional<uint32_t> uplink;             ///< MTU of the default route's link, once asked for
  std::set<std::string> changed;  ///< ids of networks whose record differs from what the engine stored
  std::vector<std::string> notices;
  std::vector<RestingAddress> resting;
  std::vector<EndpointLink> links;  ///< on networks whose containers do not reach each other

  Result<Surroundings> surroundings();
  /// The subnets of the default network are those of the bridge that the options name, unless it is berth's
  /// to make. InvalidArgument when there is no such bridge.
  Result<void> find_given_bridge();
  const NetworkRecord& add_network(NetworkRecord record);
  /// The network's pool that the address is in, or nullptr.
  AddressPool* pool_of(const std::string& network_id, const IpAddress& address);
  /// A free address of the first pool of the family that has one; there is such a pool.
  Result<IpPrefix> allocate_address(const std::string& network_id, IpFamily family);
  Result<IpPrefix> claim_address(const std::string& network_id, const IpAddress& address);

  /// Before a network's first container: a subnet chosen at creation may overlap by now with what others (a
  /// second engine, a VPN) have come to route; then another one is chosen.
  Result<void> settle_subnet(NetworkRecord& network);
  Result<void> ensure_forwarding(const NetworkRecord& network);
  /// Another firewall that drops what it does not know also drops containers' packets: nothing berth's own
  /// tables can undo, but it can be said.
  void notice_other_firewalls();
  /// The bridge's link index; on first use makes link and firewall table, and switches forwarding on.
  Result<uint32_t> bring_up(const NetworkRecord& network);
  /// Endpoints of the network whose links are not ports of its bridge, or down, become so again; a sentence
  /// for each.
  Result<std::vector<std::string>> restore_ports(const NetworkRecord& network, uint32_t index);
  uint32_t wanted_mtu(const NetworkRecord& network);
  /// The record says which MTU its containers have.
  void note_mtu(NetworkRecord& network);
  FirewallNetwork firewall_network(const NetworkRecord& network) const;
  FirewallState firewall_state() const;
  FirewallFamilies firewall_families() const;
  /// Makes the nft tables say what the state says, in one transaction.
  Result<void> rebuild_firewall();
  /// Adds one network's rules, which does not take the longer the more there are.
  Result<void> add_to_firewall(const NetworkRecord& network);
  /// Takes the rules of a network's bridge out again.
  Result<void> remove_from_firewall(const std::string& bridge);
  /// Also those of families that an earlier daemon has had tables for.
  Result<void> remove_firewall(const std::vector<IpFamily>& families);
  /// berth's part of the host's filter table (host_filter.h).
  Result<void> write_host_filter(IpFamily family, const std::vector<std::string>& names);

  Result<void> take_addresses(const NetworkRecord& network, const AttachRequest& request,
                              EndpointRecord& endpoint);
  void release_addresses(const EndpointRecord& endpoint);
  /// Releases them when the endpoint's link is gone.
  void rest_addresses(const EndpointRecord& endpoint);
  /// Ends the rest of the network's addresses whose links are gone, or of all of them.
  enum class Rest { WhileLinksLinger, Over };
  void settle_resting(const std::string& network_id, Rest rest);
  /// Switches IPv6 off on an interface of a network without it. False: the interface knows none.
  bool disable_ipv6(const std::string& interface, const sys::NetworkNamespace& netns) const;
  Result<void> make_links(const NetworkRecord& network, EndpointRecord& endpoint,
                          sys::NetworkNamespace& netns);
  /// An interface of a macvlan or ipvlan network, made in the container's namespace.
  Result<void> make_sublink(const NetworkRecord& network, const EndpointRecord& endpoint,
                            sys::NetworkNamespace& netns);
  /// What the request opens where the network is routed, without a port of the host; the rest of it is to be
  /// held, unless it leaves nothing.
  std::vector<HeldPort> open_routed(const NetworkRecord& network, const EndpointRecord& endpoint,
                                    PortRequest& request, bool& leaves_nothing) const;
  Result<std::vector<HeldPort>> hold_ports(const NetworkRecord& network, const AttachRequest& request,
                                           const EndpointRecord& endpoint);
  /// Which of the endpoint's ports are open at its own addresses.
  std::vector<OpenPort> open_ports_of(const EndpointRecord& endpoint) const;
  /// Ports of an endpoint that is in `endpoints` already.
  Result<void> publish(const EndpointRecord& endpoint, std::vector<HeldPort> held);
  void unpublish(const EndpointRecord& endpoint);
  /// The container's endpoint on the network, or nullptr.
  const EndpointRecord* endpoint_of(std::string_view container_id, std::string_view network_id) const;
  /// What the link opens, of each family that both have.
  std::vector<LinkedPort> linked_ports(const EndpointLink& link) const;
  /// Containers of the network that have links find each other, through the host.
  Result<void> settle_linked_neighbours(const NetworkRecord& network);
  /// Ends those links of which `ends` says so; their endpoints are in `endpoints` still.
  void end_links(const std::function<bool(const EndpointLink&)>& ends);
  /// Senders that go on are redirected (or no longer) from their next datagram on.
  void forget_flows(const EndpointRecord& endpoint);

  /// Tells the embedded DNS who is on the network now.
  void update_names(const std::string& network_id);
  /// The bridge networks of a container.
  std::vector<std::string> networks_of(std::string_view container_id) const;
  bool has_names(const std::string& network_id) const;
};

/// What nf_tables redirects for an endpoint; bindings across families are the proxy's alone.
std::vector<PortForward> forwards_of(const EndpointRecord& endpoint);
/// Whether the binding takes a port of the host: a routed network's only opens the container's own.
inline bool is_bound(const PublishedPort& port) {
  return port.host_port != 0;
}
/// Where a published port leads: the container's address of the same family, else the other one.
IpAddress target_of(const EndpointRecord& endpoint, const PublishedPort& port);

}  // namespace berth::network
