// The kernel side of a bridge network: its link with addresses and sysctls, and the batches that give a
// namespace an endpoint. Planning is pure; BridgeLinks performs.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "network/records.h"
#include "sys/netlink.h"
#include "sys/netns.h"

namespace berth::network {

/// Names of berth's host ends begin with this: "bv" and twelve digits of the endpoint's id.
inline constexpr std::string_view kHostLinkPrefix = "bv";

/// What the host side and the inside need for one endpoint.
struct EndpointLinks {
  std::string host_link;
  uint32_t bridge_index = 0;
  uint32_t mtu = 0;
  sys::BridgePortChange port;
  int netns = -1;
};

/// The flags of a container's port on the network's bridge.
sys::BridgePortChange plan_port(const NetworkRecord& network, const std::string& host_link);
/// How the bridge docker0 comes to the gateway's address, as docker has it: of IPv4 it takes the place of one
/// that is there; of IPv6 none stays beside it but those of fe80::/64, which the kernel gives.
struct BridgeAddressPlan {
  std::vector<IpPrefix> removed;
  std::optional<IpPrefix> added;  ///< none: it is there
};
BridgeAddressPlan plan_bridge_address(const IpPrefix& wanted, const std::vector<IpPrefix>& present);
/// Creates the pair and makes its outer end a port of the bridge.
sys::RouteBatch plan_host_side(const EndpointLinks& links, const EndpointRecord& endpoint);
/// Brings the inner end up with addresses and, for the default gateway, routes.
/// `has_ipv6`: whether the link knows IPv6 at all, which one of an MTU below 1280 does not.
sys::RouteBatch plan_inside(uint32_t index, const EndpointRecord& endpoint, bool has_ipv6 = true);

/// Bridges of one engine in the daemon's namespace.
class BridgeLinks {
 public:
  explicit BridgeLinks(sys::RouteSocket& routes) : routes_(routes) {}
  /// Bridges that are made from now on say whose they are: `owner` is their alias.
  void set_owner(std::string owner) { owner_ = std::move(owner); }

  /// The bridge's link index; makes the link with its gateway addresses and sysctls when it is missing.
  Result<uint32_t> ensure(const NetworkRecord& network, uint32_t mtu);
  /// The bridge is not what it was (deleted behind our back): look again next time.
  void forget(const std::string& bridge) {
    ready_.erase(bridge);
    answered_.erase(bridge);
  }
  /// Whoever on the bridge asks for the MAC address of one of these containers is given the host's, so that
  /// the host routes what one sends to another: isolated ports exchange no frames. Empty: of nobody. Of IPv4
  /// all or none are answered for; what passes is the firewall's business. The bridge is ready.
  Result<void> answer_for(const std::string& bridge, const std::set<IpAddress>& containers);
  bool is_ready(const std::string& bridge) const { return ready_.contains(bridge); }
  /// Of a bridge that is ready.
  std::optional<uint32_t> index(const std::string& bridge) const {
    auto known = ready_.find(bridge);
    return known == ready_.end() ? std::nullopt : std::optional(known->second);
  }

 private:
  Result<void> configure(const NetworkRecord& network, uint32_t index, bool is_new);
  sys::RouteSocket& routes_;
  std::string owner_;
  std::map<std::string, uint32_t> ready_;
  std::map<std::string, std::set<IpAddress>> answered_;  ///< IPv6 addresses, by bridge, once looked at
};

/// Lets packets of the family pass between links: net.ipv4.ip_forward, net.ipv6.conf.all.forwarding. Answers
/// sentences for the log where something had to be switched on.
Result<std::vector<std::string>> enable_forwarding(IpFamily family);

/// Whether IPv6 is there and not switched off for the whole host.
bool host_has_ipv6();

/// The MTU of the link that has the default route; 0 when unknown.
Result<uint32_t> uplink_mtu(sys::RouteSocket& routes);

}  // namespace berth::network
