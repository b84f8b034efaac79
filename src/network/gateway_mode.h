// How a bridge network's containers meet the world beyond the host, by family: docker's options
// "com.docker.network.bridge.gateway_mode_ipv4" and "..._ipv6". Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "network/records.h"

namespace berth::network {

inline constexpr std::string_view kOptionGatewayMode4 = "com.docker.network.bridge.gateway_mode_ipv4";
inline constexpr std::string_view kOptionGatewayMode6 = "com.docker.network.bridge.gateway_mode_ipv6";
/// Interfaces of the host, separated by colons, whose neighbours reach published ports at the container's own
/// address.
inline constexpr std::string_view kOptionTrusted = "com.docker.network.bridge.trusted_host_interfaces";

enum class GatewayMode {
  Nat,             ///< ports are published on the host's addresses; nothing else comes in
  NatUnprotected,  ///< the same, and whoever has a route to containers reaches all of their ports
  Routed,          ///< no translation: published ports are open at the container's own address
  Isolated         ///< the host has no address on the network
};

/// Nat where the option is not given.
GatewayMode gateway_mode(const NetworkRecord& network, IpFamily family);
/// InvalidArgument: an unknown mode, or "isolated" for a network that is not internal.
Result<void> check_gateway_modes(const NetworkRecord& network);
std::vector<std::string> trusted_interfaces(const NetworkRecord& network);

}  // namespace berth::network
