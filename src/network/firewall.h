// What berth's nf_tables tables should hold, as a value, and the pure planners that turn it into
// transactions. One table per family and engine instance; other tables and firewalls are left alone.
//
// Published ports are elements of two maps per family: {protocol, address, port} and, for ports on all
// addresses, {protocol, port}; both give {container address, container port}. Publishing is one element.
// Where published ports are open at the container's own address, {protocol, address, port} of these is in a
// set. What a container's links open on a network whose containers do not reach each other is in another:
// {source address, address, protocol, port}.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "network/gateway_mode.h"
#include "network/records.h"
#include "sys/nftables.h"

namespace berth::network {

/// The set of the names of all networks' bridges.
inline constexpr char kBridgeSet[] = "bridges";

struct FirewallNetwork {
  std::string bridge;
  std::optional<IpPrefix> subnet4;
  std::optional<IpPrefix> subnet6;
  bool internal = false;   ///< nothing passes between this network and anything else
  bool closed = false;     ///< its containers reach of each other what links open
  bool masquerade = true;  ///< hide container addresses behind the host's
  /// The address of the host's that is shown outside; none: that of the interface a packet leaves by.
  std::optional<IpAddress> source4;
  std::optional<IpAddress> source6;
  GatewayMode mode4 = GatewayMode::Nat;
  GatewayMode mode6 = GatewayMode::Nat;
  bool direct = false;               ///< published ports are open at the container's own address
  std::vector<std::string> trusted;  ///< they are so for what comes in by these interfaces
};

/// One published address. `host_ip` and `container_ip` are of one family.
struct PortForward {
  Protocol protocol = Protocol::Tcp;
  IpAddress host_ip;  ///< unspecified: every local address
  uint16_t host_port = 0;
  IpAddress container_ip;
  uint16_t container_port = 0;
  friend auto operator<=>(const PortForward&, const PortForward&) = default;
};

/// A container's port that whoever has a route to the container reaches there.
struct OpenPort {
  Protocol protocol = Protocol::Tcp;
  IpAddress container_ip;
  uint16_t container_port = 0;
  friend auto operator<=>(const OpenPort&, const OpenPort&) = default;
};

/// A container's port that another one on its network reaches by a link. The addresses are of one family.
struct LinkedPort {
  Protocol protocol = Protocol::Tcp;
  IpAddress source_ip;
  IpAddress container_ip;
  uint16_t container_port = 0;
  friend auto operator<=>(const LinkedPort&, const LinkedPort&) = default;
};

/// What publishing and links add to the tables.
struct PublishedRules {
  std::vector<PortForward> forwards = {};
  std::vector<OpenPort> open = {};      ///< no two of them equal
  std::vector<LinkedPort> linked = {};  ///< the same
};

struct FirewallState {
  std::vector<FirewallNetwork> networks;
  PublishedRules ports;
};

/// The families whose tables berth keeps.
struct FirewallFamilies {
  bool ipv4 = true;
  bool ipv6 = true;
  bool has(IpFamily family) const { return family == IpFamily::V4 ? ipv4 : ipv6; }
  std::vector<IpFamily> list() const;
};

/// Replaces the instance's tables by ones that hold `state`, in one transaction.
sys::NftTransaction plan_firewall(std::string_view table, const FirewallState& state,
                                  const FirewallFamilies& families);
/// Adds a network to tables that are there, whatever their number of networks in a few rules.
sys::NftTransaction plan_add_network(std::string_view table, const FirewallNetwork& network,
                                     const FirewallFamilies& families);
/// The chains that have rules of single networks.
std::vector<std::string> network_chains();
/// Takes a network out of one family's table again; `rules` are those of the chains as they are.
sys::NftTransaction plan_remove_network(std::string_view table, sys::NftFamily family,
                                        std::string_view bridge,
                                        const std::map<std::string, std::vector<sys::NftRuleInfo>>& rules);
/// Whether the rule is about the network of that bridge.
bool is_rule_of(const sys::NftRuleInfo& rule, std::string_view bridge);
/// Adds or removes published ports and what links open, in one transaction.
sys::NftTransaction plan_publish(std::string_view table, const PublishedRules& ports,
                                 const FirewallFamilies& families = {});
sys::NftTransaction plan_unpublish(std::string_view table, const PublishedRules& ports,
                                   const FirewallFamilies& families = {});
/// Removes the tables; each family's must exist.
sys::NftTransaction plan_remove_tables(std::string_view table, const std::vector<sys::NftFamily>& families);

}  // namespace berth::network
