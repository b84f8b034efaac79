// Planning the network "bridge".
#include "network/default_network.h"

#include <algorithm>

#include "base/format.h"
#include "base/id.h"
#include "network/network_plan.h"

namespace berth::network {
namespace {

/// The address of the bridge that the network is built on, as dockerd chooses it: one whose subnet holds the
/// range, else the first. What the kernel made of its own counts only where the range is there as well.
std::optional<IpPrefix> choose_address(const std::vector<IpPrefix>& addresses, IpFamily family,
                                       const std::optional<IpPrefix>& range) {
  std::optional<IpPrefix> chosen;
  bool wants_link_local = range && is_standard_link_local(range->address);
  for (const IpPrefix& address : addresses) {
    if (address.family() != family) continue;
    if (family == IpFamily::V6 && is_standard_link_local(address.address) && !wants_link_local) continue;
    if (range && IpPrefix{address.network()}.contains(range->address)) return address;
    bool within = range && range->network().contains(address.address);
    bool is_better = within && chosen && !range->network().contains(chosen->address);
    if (!chosen || is_better) chosen = address;
  }
  return chosen;
}

/// A bridge's present address for another range: it stays, in a subnet as large as the range, unless it is
/// elsewhere.
std::optional<IpPrefix> adapt_address(const std::optional<IpPrefix>& address,
                                      const std::optional<IpPrefix>& range) {
  if (!address || !range) return address;
  if (!address->network().contains(range->address)) return std::nullopt;
  return IpPrefix{address->address, std::min(address->length, range->length)};
}

}  // namespace

Result<void> build_on_bridge(const std::vector<IpPrefix>& addresses, BridgeAddresses whose,
                             NetworkOptions& options) {
  const bool adapts = whose == BridgeAddresses::OfTheEngine;
  auto build = [&](IpFamily family, std::optional<IpPrefix>& subnet, const std::optional<IpPrefix>& range) {
    if (adapts && subnet) return;  // --bip
    subnet = choose_address(addresses, family, range);
    if (adapts) subnet = adapt_address(subnet, range);
  };
  build(IpFamily::V4, options.bridge_subnet4, options.bridge_range4);
  build(IpFamily::V6, options.bridge_subnet6, options.bridge_range6);
  auto fits = [](const std::optional<IpPrefix>& subnet, const std::optional<IpPrefix>& range) {
    return !subnet || !range || subnet->network().contains(range->network());
  };
  // dockerd starts nevertheless where it is IPv4's, and gives addresses out of the whole subnet.
  if (!fits(options.bridge_subnet4, options.bridge_range4)) options.bridge_range4.reset();
  if (!fits(options.bridge_subnet6, options.bridge_range6)) {
    return failure(Kind::InvalidArgument, "the range {} is outside of the subnets of bridge {}",
                   options.bridge_range6->to_string(), options.bridge_name);
  }
  return {};
}

Result<IpamPool> plan_default_pool(const std::optional<IpPrefix>& bip, const std::optional<IpPrefix>& range) {
  IpamPool pool;
  if (range) pool.range = range->network();
  pool.subnet = bip ? bip->network() : *pool.range;
  // As docker's --bip: host bits name the gateway.
  bool names_gateway = bip && bip->address != pool.subnet.address;
  pool.gateway = names_gateway ? bip->address : pool.subnet.address.plus(1);
  pool.implied_gateway = !bip;
  if (range && !pool.subnet.contains(*pool.range)) {
    return failure(Kind::InvalidArgument,
                   "the range {} of containers' addresses is not within the subnet {} of the default bridge",
                   pool.range->to_string(), pool.subnet.to_string());
  }
  return pool;
}

Result<void> check_default_ranges(const NetworkOptions& options) {
  auto check = [](const std::optional<IpPrefix>& bip, const std::optional<IpPrefix>& range,
                  IpFamily family) -> Result<void> {
    for (const auto& prefix : {bip, range}) {
      if (prefix && prefix->address.family() != family) {
        return failure(Kind::InvalidArgument, "{} is not an {} subnet", prefix->to_string(),
                       family == IpFamily::V4 ? "IPv4" : "IPv6");
      }
    }
    if (range) CHECK(plan_default_pool(bip, range));
    return {};
  };
  CHECK(check(options.bridge_subnet4, options.bridge_range4, IpFamily::V4));
  return check(options.bridge_subnet6, options.bridge_range6, IpFamily::V6);
}

Result<void> add_default_gateway(const NetworkOptions& options, IpamPool& pool) {
  IpFamily family = pool.subnet.family();
  const auto& gateway = family == IpFamily::V4 ? options.default_gateway4 : options.default_gateway6;
  if (!gateway) return {};
  if (gateway->family() != family || !pool.subnet.contains(*gateway)) {
    return failure(Kind::InvalidArgument,
                   "the default gateway {} is not within the subnet {} of the default bridge",
                   gateway->to_string(), pool.subnet.to_string());
  }
  pool.auxiliary[std::string(default_gateway_key(family))] = *gateway;
  return {};
}

Result<NetworkRecord> plan_default_network(const NetworkOptions& options, const Surroundings& surroundings) {
  NetworkRecord record;
  record.id = random_id();
  record.name = "bridge";
  record.created = now();
  record.predefined = true;
  record.enable_ipv6 = options.enable_ipv6 && surroundings.host_has_ipv6;
  record.bridge = default_bridge_name(options);
  record.foreign_bridge = !options.bridge_name.empty() && options.bridge_name != kDockerBridge;
  if (options.bridge_subnet4 || options.bridge_range4) {
    TRY(IpamPool pool, plan_default_pool(options.bridge_subnet4, options.bridge_range4));
    record.pools.push_back(std::move(pool));
  } else {
    TRY(IpamPool pool, plan_automatic_pool(surroundings));
    record.pools.push_back(std::move(pool));
  }
  if (record.enable_ipv6) {
    std::optional<IpPrefix> subnet6 = options.bridge_subnet6;
    if (!subnet6 && !options.bridge_range6) {
      TRY(subnet6, plan_automatic_ipv6(surroundings));
    }
    TRY(IpamPool pool, plan_default_pool(subnet6, options.bridge_range6));
    record.pools.push_back(std::move(pool));
  }
  for (IpamPool& pool : record.pools) CHECK(add_default_gateway(options, pool));
  record.options = {{"com.docker.network.bridge.default_bridge", "true"},
                    {std::string(kOptionInterContainer), options.inter_container ? "true" : "false"},
                    {std::string(kOptionMasquerade), options.masquerade ? "true" : "false"},
                    {std::string(kOptionHostBinding),
                     options.default_host_ip ? options.default_host_ip->to_string() : "0.0.0.0"},
                    {std::string(kOptionBridgeName), record.bridge}};
  if (options.mtu != 0) record.options[std::string(kOptionMtu)] = fmt::to_string(options.mtu);
  return record;
}

}  // namespace berth::network
