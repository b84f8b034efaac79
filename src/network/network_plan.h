// From a request to a network record: pure. Everything that can be wrong with a request is found here, in
// docker's words, before the kernel is touched.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "network/gateway_mode.h"
#include "network/networks.h"
#include "network/records.h"

namespace berth::network {

/// docker's option names that berth heeds.
inline constexpr std::string_view kOptionBridgeName = "com.docker.network.bridge.name";
inline constexpr std::string_view kOptionInterContainer = "com.docker.network.bridge.enable_icc";
inline constexpr std::string_view kOptionMasquerade = "com.docker.network.bridge.enable_ip_masquerade";
inline constexpr std::string_view kOptionHostBinding = "com.docker.network.bridge.host_binding_ipv4";
/// The host's address that containers have outside.
inline constexpr std::string_view kOptionHost4 = "com.docker.network.host_ipv4";
inline constexpr std::string_view kOptionHost6 = "com.docker.network.host_ipv6";
inline constexpr std::string_view kOptionInhibit4 = "com.docker.network.bridge.inhibit_ipv4";
inline constexpr std::string_view kOptionParent = "parent";  ///< of macvlan and ipvlan: the host's interface
inline constexpr std::string_view kOptionMacvlanMode = "macvlan_mode";
inline constexpr std::string_view kOptionIpvlanMode = "ipvlan_mode";
inline constexpr std::string_view kOptionEnable4 = "com.docker.network.enable_ipv4";
inline constexpr std::string_view kOptionEnable6 = "com.docker.network.enable_ipv6";
inline constexpr std::string_view kOptionMtu = "com.docker.network.driver.mtu";

/// What exists already.
struct Surroundings {
  std::vector<const NetworkRecord*> networks;
  std::vector<IpPrefix> routes;  ///< the host's, and its nameservers'
  bool host_has_ipv6 = true;
  std::vector<SubnetPool> address_pools = {};  ///< empty: the defaults
  /// Options that requests need not give, by driver.
  std::map<std::string, std::map<std::string, std::string>> default_options = {};
};

/// A record for POST /networks/create, with id, subnets and gateways filled in.
Result<NetworkRecord> plan_network(const NetworkRequest& request, const Surroundings& surroundings);
/// The pool that a request describes, with its gateway filled in. InvalidArgument.
Result<IpamPool> plan_pool(const NetworkRequest::Pool& request);
/// Which families the network has. InvalidArgument.
Result<void> plan_families(const NetworkRequest& request, NetworkRecord& record);
/// A free IPv4 subnet of the pools.
Result<IpamPool> plan_automatic_pool(const Surroundings& surroundings);
/// A subnet of the IPv6 pools if there are such; else random, as RFC 4193 has it.
Result<IpPrefix> plan_automatic_ipv6(const Surroundings& surroundings);
/// "host" and "none".
NetworkRecord plan_predefined(NetworkDriver driver);

/// "berth", or "berth-<instance>".
std::string table_name(const NetworkOptions& options);
/// "berth0", or "berth-<instance>"; or the one that was given.
std::string default_bridge_name(const NetworkOptions& options);
/// What the kernel takes as a link name (dev_valid_name), and no sysctl path walks out of.
bool is_link_name(std::string_view name);
/// The kernel's number of a mode (linux/if_link.h); nothing for a name that is none. Empty: the default.
std::optional<uint32_t> macvlan_mode(std::string_view name);
std::optional<uint32_t> ipvlan_mode(std::string_view name);
/// true for absent, "true", "1"; false for "false", "0".
bool option_is_on(const NetworkRecord& network, std::string_view option, bool fallback);
/// Of fe80::/64, which the kernel gives every link an address of.
bool is_standard_link_local(const IpAddress& address);
/// Whether the network's bridge stays when the network or the engine goes, though it is the engine's to make
/// and to give addresses (kDockerBridge).
bool keeps_bridge(const NetworkRecord& network);
/// Whether containers of the network do not reach each other, save by links (docker's icc=false).
bool is_closed(const NetworkRecord& network);
/// Whether the host has the gateway's address on the bridge: not where the network is isolated, or where
/// somebody else is to have it (inhibit_ipv4).
bool host_has_gateway(const NetworkRecord& network, IpFamily family);
/// Whether an address is set aside for a gateway. A network of two addresses (/31) has none to spare.
bool reserves_gateway(const NetworkRecord& network, IpFamily family);
/// The address that the option gives; none where it is absent.
std::optional<IpAddress> address_option(const NetworkRecord& network, std::string_view option);
/// The MTU option; 0 when not given.
uint32_t mtu_of(const NetworkRecord& network);

}  // namespace berth::network
