// Network requests.
#include "network/network_plan.h"

#include <linux/if_link.h>

#include <algorithm>
#include <charconv>

#include "base/format.h"
#include "base/id.h"
#include "network/address_pool.h"
#include "network/announcements.h"
#include "network/config_network.h"
#include "network/parent_link.h"

namespace berth::network {
namespace {

constexpr size_t kMaxLinkName = 15;

Error invalid(std::string message) {
  return {Kind::InvalidArgument, std::move(message)};
}

/// Spaces within are docker's way too ("my network").
bool is_network_name(std::string_view name) {
  if (name.empty() || name.size() > 255 || name.front() == ' ' || name.back() == ' ') return false;
  return std::all_of(name.begin(), name.end(),
                     [](unsigned char c) { return c >= ' ' && c != 0x7f && c != '/'; });
}

std::vector<IpPrefix> used_prefixes(const Surroundings& surroundings) {
  std::vector<IpPrefix> used = surroundings.routes;
  for (const auto* network : surroundings.networks) {
    if (network->config_only) continue;
    for (const auto& pool : network->pools) used.push_back(pool.subnet);
  }
  return used;
}

const std::vector<SubnetPool>& pools_of(const Surroundings& surroundings) {
  return surroundings.address_pools.empty() ? default_subnet_pools() : surroundings.address_pools;
}

Result<void> check_overlap(const IpPrefix& subnet, const Surroundings& surroundings) {
  for (const auto* network : surroundings.networks) {
    if (network->config_only) continue;
    for (const auto& pool : network->pools) {
      if (!pool.subnet.overlaps(subnet)) continue;
      return failure(
          Kind::Forbidden,
          "invalid pool request: Pool overlaps with other one on this address space: {} and {} of network "
          "{}",
          subnet.to_string(), pool.subnet.to_string(), network->name);
    }
  }
  return {};
}

IpPrefix subnet_of(const IpPrefix& prefix) {
  return prefix.network();
}

/// What the request says goes before options, which then do not show what does not hold.
Result<bool> plan_family(const std::optional<bool>& wanted, std::string_view option, bool fallback,
                         NetworkRecord& record) {
  auto given = record.options.find(std::string(option));
  if (wanted) {
    if (given != record.options.end()) record.options.erase(given);
    return *wanted;
  }
  if (given == record.options.end()) return fallback;
  for (std::string_view yes : {"true", "1"}) {
    if (given->second == yes) return true;
  }
  for (std::string_view no : {"false", "0"}) {
    if (given->second == no) return false;
  }
  return invalid(fmt::format("driver-opt \"{}\" is not a valid bool", option));
}

Result<void> plan_pools(const NetworkRequest& request, const Surroundings& surroundings,
                        NetworkRecord& record) {
  for (const auto& wanted : request.pools) {
    if (wanted.is_empty()) continue;
    TRY(IpamPool pool, plan_pool(wanted));
    CHECK(check_overlap(pool.subnet, surroundings));
    for (const IpamPool& other : record.pools) {
      if (!other.subnet.overlaps(pool.subnet)) continue;
      return failure(Kind::Forbidden,
                     "invalid pool request: Pool overlaps with other one on this address space: {} and {}",
                     pool.subnet.to_string(), other.subnet.to_string());
    }
    if (record.driver == NetworkDriver::Bridge && record.pool(pool.subnet.family()) != nullptr) {
      return invalid(fmt::format("bridge networks have one subnet of each family: {} is one too many",
                                 pool.subnet.to_string()));
    }
    if (pool.subnet.family() == IpFamily::V6 && !record.enable_ipv6) {
      return invalid(fmt::format("subnet {} needs IPv6 to be enabled (--ipv6)", pool.subnet.to_string()));
    }
    if (pool.subnet.family() == IpFamily::V4 && !record.enable_ipv4) {
      return invalid(fmt::format("subnet {} needs IPv4 to be enabled", pool.subnet.to_string()));
    }
    record.pools.push_back(std::move(pool));
  }
  // IPv4 first, however they were asked for.
  std::stable_sort(record.pools.begin(), record.pools.end(), [](const IpamPool& a, const IpamPool& b) {
    return a.subnet.family() < b.subnet.family();
  });
  if (record.enable_ipv4 && record.pool(IpFamily::V4) == nullptr) {
    TRY(IpamPool pool, plan_automatic_pool(surroundings));
    record.pools.insert(record.pools.begin(), std::move(pool));
  }
  if (record.enable_ipv6 && record.pool(IpFamily::V6) == nullptr) {
    TRY(IpPrefix subnet, plan_automatic_ipv6(surroundings));
    record.pools.push_back({subnet, {}, subnet.address.plus(1), {}});
  }
  return {};
}

Result<void> check_options(const NetworkRecord& record) {
  CHECK(check_announcements(record));
  CHECK(check_gateway_modes(record));
  for (const std::string& name : trusted_interfaces(record)) {
    if (!is_link_name(name))
      return invalid(fmt::format("invalid value for option {}: \"{}\"", kOptionTrusted, name.substr(0, 64)));
  }
  for (std::string_view option : {kOptionInterContainer, kOptionMasquerade, kOptionInhibit4}) {
    auto found = record.options.find(std::string(option));
    if (found == record.options.end()) continue;
    const std::string& value = found->second;
    if (value != "true" && value != "false" && value != "1" && value != "0") {
      return invalid(fmt::format("invalid value \"{}\" for option {}: true or false", value, option));
    }
  }
  auto mtu = record.options.find(std::string(kOptionMtu));
  if (mtu != record.options.end() && mtu_of(record) < 68 && mtu->second != "0") {
    return invalid(fmt::format("invalid value \"{}\" for option {}", mtu->second, kOptionMtu));
  }
  auto binding = record.options.find(std::string(kOptionHostBinding));
  if (binding != record.options.end()) {
    auto address = IpAddress::parse(binding->second);
    if (!address) return std::move(address).error();
  }
  for (std::string_view option : {kOptionHost4, kOptionHost6}) {
    auto found = record.options.find(std::string(option));
    if (found == record.options.end() || found->second.empty()) continue;
    TRY(IpAddress address, IpAddress::parse(found->second));
    if (address.is_v4() != (option == kOptionHost4))
      return invalid(fmt::format("invalid value \"{}\" for option {}", found->second.substr(0, 64), option));
  }
  return {};
}

Result<std::string> plan_bridge_name(const NetworkRecord& record, const Surroundings& surroundings) {
  auto wanted = record.options.find(std::string(kOptionBridgeName));
  // docker's name for it, which people look for: twelve digits of the id, as in the short form users see.
  if (wanted == record.options.end()) return fmt::format("br-{}", record.id.substr(0, 12));
  if (!is_link_name(wanted->second)) {
    return invalid(fmt::format("invalid bridge name \"{}\"", wanted->second.substr(0, 64)));
  }
  for (const auto* network : surroundings.networks) {
    if (network->bridge != wanted->second) continue;
    return failure(Kind::AlreadyExists, "networks have same bridge name: {} is used by network {}",
                   wanted->second, network->name);
  }
  return wanted->second;
}

Result<void> check_name(const std::string& name, const Surroundings& surroundings) {
  if (!is_network_name(name)) return invalid(fmt::format("invalid network name \"{}\"", name.substr(0, 64)));
  for (std::string_view taken : {"bridge", "host", "none", "default"}) {
    if (name == taken) {
      return failure(Kind::Forbidden, "operation is not permitted on predefined {} network", name);
    }
  }
  for (const auto* network : surroundings.networks) {
    if (network->name == name)
      return failure(Kind::AlreadyExists, "network with name {} already exists", name);
  }
  return {};
}

Result<NetworkDriver> choose_driver(std::string_view name) {
  if (name == "host" || name == "null") {
    return failure(Kind::Forbidden, "only one instance of \"{}\" network is allowed", name);
  }
  NetworkDriver driver = NetworkDriver::Bridge;
  if (name == "macvlan") driver = NetworkDriver::Macvlan;
  if (name == "ipvlan") driver = NetworkDriver::Ipvlan;
  if (name.empty() || name == to_string(driver)) return driver;
  return failure(Kind::NotFound, "could not find plugin {} in v1 plugin registry: plugin not found",
                 name.substr(0, 64));
}

/// What the request says and others do not have to agree to.
void copy_settings(const NetworkRequest& request, const Surroundings& surroundings, std::string_view driver,
                   NetworkRecord& record) {
  record.internal = request.internal;
  record.attachable = request.attachable;
  record.ipam_options = request.ipam_options;
  record.options = request.options;
  record.labels = request.labels;
  // What is given for a driver holds for networks that do not say otherwise.
  auto own = surroundings.default_options.find(std::string(driver));
  if (own != surroundings.default_options.end())
    record.options.insert(own->second.begin(), own->second.end());
}

Result<NetworkRecord> plan_usable_network(const NetworkRequest& request, const Surroundings& surroundings,
                                          NetworkRecord record) {
  TRY(record.driver, choose_driver(request.driver));
  copy_settings(request, surroundings, to_string(record.driver), record);
  CHECK(plan_families(request, record));
  if (record.enable_ipv6 && !surroundings.host_has_ipv6) {
    return failure(Kind::Unsupported, "IPv6 is switched off on this host (net.ipv6.conf.all.disable_ipv6)");
  }
  CHECK(check_options(record));
  CHECK(plan_pools(request, surroundings, record));
  if (record.driver == NetworkDriver::Bridge) {
    TRY(record.bridge, plan_bridge_name(record, surroundings));
  } else {
    CHECK(check_parent(record, surroundings));
  }
  return record;
}

}  // namespace

bool is_link_name(std::string_view name) {
  if (name.empty() || name.size() > kMaxLinkName || name == "." || name == "..") return false;
  return std::all_of(name.begin(), name.end(),
                     [](unsigned char c) { return c > ' ' && c < 0x7f && c != '/' && c != ':' && c != '%'; });
}

Result<IpamPool> plan_pool(const NetworkRequest::Pool& request) {
  if (!request.subnet) return invalid("invalid network config: an address pool needs a subnet");
  IpamPool pool;
  pool.subnet = subnet_of(*request.subnet);
  if (pool.subnet != *request.subnet) {
    return invalid(fmt::format("invalid network config: invalid subnet {}: it should be {}",
                               request.subnet->to_string(), pool.subnet.to_string()));
  }
  // Room for the gateway and one container.
  if (pool.subnet.length + 1 > pool.subnet.address.width()) {
    return invalid(fmt::format("invalid network config: subnet {} is too small", pool.subnet.to_string()));
  }
  if (request.range) {
    pool.range = subnet_of(*request.range);
    if (!pool.subnet.contains(*pool.range)) {
      return invalid(fmt::format(
          "invalid network config: invalid ip-range {}: parent subnet {} doesn't contain ip-range",
          request.range->to_string(), pool.subnet.to_string()));
    }
  }
  auto inside = [&](std::string_view what, const IpAddress& address) -> Result<void> {
    if (pool.subnet.contains(address)) return {};
    return invalid(
        fmt::format("invalid network config: invalid {} {}: parent subnet {} doesn't contain this address",
                    what, address.to_string(), pool.subnet.to_string()));
  };
  pool.gateway = request.gateway.value_or(pool.subnet.address.plus(1));
  CHECK(inside("gateway", pool.gateway));
  for (const auto& [name, address] : request.auxiliary) CHECK(inside("auxiliary address", address));
  pool.auxiliary = request.auxiliary;
  return pool;
}

Result<void> plan_families(const NetworkRequest& request, NetworkRecord& record) {
  TRY(record.enable_ipv4, plan_family(request.enable_ipv4, kOptionEnable4, true, record));
  TRY(record.enable_ipv6, plan_family(request.enable_ipv6, kOptionEnable6, false, record));
  if (!record.enable_ipv4 && !record.enable_ipv6) return invalid("IPv4 or IPv6 must be enabled");
  return {};
}

Result<NetworkRecord> plan_network(const NetworkRequest& request, const Surroundings& surroundings) {
  CHECK(check_name(request.name, surroundings));
  NetworkRecord record;
  record.id = random_id();
  record.name = request.name;
  record.created = now();
  if (request.config_only) {
    copy_settings(request, surroundings, "bridge", record);
    return plan_config_network(request, std::move(record));
  }
  if (request.config_from.empty()) return plan_usable_network(request, surroundings, std::move(record));
  TRY(NetworkRequest applied, apply_configuration(request, surroundings));
  record.config_from = request.config_from;
  // What the configuration does not say is not up to the defaults of this engine, as with docker.
  Surroundings without_defaults = surroundings;
  without_defaults.default_options.clear();
  return plan_usable_network(applied, without_defaults, std::move(record));
}

Result<void> add_default_option(std::string_view text,
                                std::map<std::string, std::map<std::string, std::string>>& options) {
  size_t first = text.find('=');
  size_t second = first == text.npos ? first : text.find('=', first + 1);
  if (second == text.npos || first == 0 || second == first + 1) {
    return invalid(fmt::format("invalid value \"{}\": expected driver=option=value", text.substr(0, 128)));
  }
  options[std::string(text.substr(0, first))][std::string(text.substr(first + 1, second - first - 1))] =
      text.substr(second + 1);
  return {};
}

Result<IpamPool> plan_automatic_pool(const Surroundings& surroundings) {
  TRY(IpPrefix subnet, choose_subnet(pools_of(surroundings), IpFamily::V4, used_prefixes(surroundings)));
  return IpamPool{subnet, {}, subnet.address.plus(1), {}, true};
}

Result<IpPrefix> plan_automatic_ipv6(const Surroundings& surroundings) {
  const auto& pools = pools_of(surroundings);
  bool given = std::any_of(pools.begin(), pools.end(),
                           [](const SubnetPool& pool) { return pool.base.family() == IpFamily::V6; });
  if (!given) return random_ula_subnet();
  return choose_subnet(pools, IpFamily::V6, used_prefixes(surroundings));
}

NetworkRecord plan_predefined(NetworkDriver driver) {
  NetworkRecord record;
  record.id = random_id();
  record.name = driver == NetworkDriver::Host ? "host" : "none";
  record.created = now();
  record.driver = driver;
  record.predefined = true;
  return record;
}

std::string table_name(const NetworkOptions& options) {
  return options.instance.empty() ? "berth" : fmt::format("berth-{}", options.instance);
}

std::string default_bridge_name(const NetworkOptions& options) {
  if (!options.bridge_name.empty()) return options.bridge_name;
  return options.instance.empty() ? "berth0" : fmt::format("berth-{}", options.instance);
}

std::optional<uint32_t> macvlan_mode(std::string_view name) {
  if (name.empty() || name == "bridge") return MACVLAN_MODE_BRIDGE;
  if (name == "private") return MACVLAN_MODE_PRIVATE;
  if (name == "vepa") return MACVLAN_MODE_VEPA;
  if (name == "passthru") return MACVLAN_MODE_PASSTHRU;
  return std::nullopt;
}

std::optional<uint32_t> ipvlan_mode(std::string_view name) {
  if (name.empty() || name == "l2") return IPVLAN_MODE_L2;
  if (name == "l3") return IPVLAN_MODE_L3;
  if (name == "l3s") return IPVLAN_MODE_L3S;
  return std::nullopt;
}

bool option_is_on(const NetworkRecord& network, std::string_view option, bool fallback) {
  auto found = network.options.find(std::string(option));
  if (found == network.options.end()) return fallback;
  return found->second == "true" || found->second == "1";
}

bool is_standard_link_local(const IpAddress& address) {
  return address.is_v6() && IpPrefix::parse("fe80::/64")->contains(address);
}

bool keeps_bridge(const NetworkRecord& network) {
  return network.predefined && network.bridge == kDockerBridge;
}

bool is_closed(const NetworkRecord& network) {
  return network.driver == NetworkDriver::Bridge && !option_is_on(network, kOptionInterContainer, true);
}

bool host_has_gateway(const NetworkRecord& network, IpFamily family) {
  if (gateway_mode(network, family) == GatewayMode::Isolated) return false;
  return family == IpFamily::V6 || !option_is_on(network, kOptionInhibit4, false);
}

bool reserves_gateway(const NetworkRecord& network, IpFamily family) {
  if (host_has_gateway(network, family)) return true;
  return gateway_mode(network, family) != GatewayMode::Isolated && !network.internal;
}

std::optional<IpAddress> address_option(const NetworkRecord& network, std::string_view option) {
  auto found = network.options.find(std::string(option));
  if (found == network.options.end()) return std::nullopt;
  auto address = IpAddress::parse(found->second);
  return address ? std::optional(*address) : std::nullopt;
}

uint32_t mtu_of(const NetworkRecord& network) {
  auto found = network.options.find(std::string(kOptionMtu));
  if (found == network.options.end()) return 0;
  uint32_t mtu = 0;
  const std::string& text = found->second;
  auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), mtu);
  return status == std::errc() && end == text.data() + text.size() && mtu <= 65535 ? mtu : 0;
}

}  // namespace berth::network
