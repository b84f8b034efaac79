// From the daemon's options to the network "bridge": its subnets, ranges and gateways. Pure.
#pragma once

#include <optional>
#include <vector>

#include "base/result.h"
#include "network/network_plan.h"

namespace berth::network {

/// A subnet of the default network from --bip and --fixed-cidr, one of which is there. InvalidArgument for a
/// range outside of the subnet.
Result<IpamPool> plan_default_pool(const std::optional<IpPrefix>& bip, const std::optional<IpPrefix>& range);
/// Where containers of the default network send what leaves it, if the options say so. InvalidArgument for an
/// address outside of the subnet.
Result<void> add_default_gateway(const NetworkOptions& options, IpamPool& pool);
/// The network "bridge".
Result<NetworkRecord> plan_default_network(const NetworkOptions& options, const Surroundings& surroundings);
/// Who says which addresses the bridge of --bridge has: whoever has made it, or the engine's options.
enum class BridgeAddresses { OfTheHost, OfTheEngine };
/// Subnets from the addresses that the bridge of --bridge has, as --bip would give them; of a bridge whose
/// addresses are the engine's those that fit the options. InvalidArgument for an IPv6 range that is in none
/// of the host's.
Result<void> build_on_bridge(const std::vector<IpPrefix>& addresses, BridgeAddresses whose,
                             NetworkOptions& options);

}  // namespace berth::network
