// Parents of macvlan and ipvlan networks.
#include "network/parent_link.h"

#include <linux/if_link.h>

#include <charconv>

#include "base/format.h"

namespace berth::network {
namespace {

constexpr std::string_view kOptionIpvlanFlag = "ipvlan_flag";
constexpr int kLastVlan = 4094;

std::string option(const NetworkRecord& network, std::string_view name) {
  auto found = network.options.find(std::string(name));
  return found == network.options.end() ? std::string() : found->second;
}

Error invalid(std::string message) {
  return {Kind::InvalidArgument, std::move(message)};
}

bool is_passthru(const NetworkRecord& network) {
  return network.driver == NetworkDriver::Macvlan && option(network, kOptionMacvlanMode) == "passthru";
}

Result<void> check_words(const NetworkRecord& network) {
  bool macvlan = network.driver == NetworkDriver::Macvlan;
  std::string mode = option(network, macvlan ? kOptionMacvlanMode : kOptionIpvlanMode);
  if (macvlan ? !macvlan_mode(mode) : !ipvlan_mode(mode)) {
    return invalid(fmt::format(
        "requested {} mode '{}' is not valid, {}", to_string(network.driver), mode.substr(0, 32),
        macvlan ? "'bridge' mode is the macvlan driver default" : "'l2' mode is the ipvlan driver default"));
  }
  std::string flag = option(network, kOptionIpvlanFlag);
  if (macvlan || ipvlan_flags(flag)) return {};
  return invalid(fmt::format("requested ipvlan flag '{}' is not valid, 'bridge' is the ipvlan driver default",
                             flag.substr(0, 32)));
}

/// "eth0.10" as {"eth0", 10}.
Result<std::pair<std::string, uint16_t>> parse_vlan(const std::string& name) {
  size_t dot = name.find('.');
  if (dot == name.npos || dot == 0) {
    return invalid(
        fmt::format("invalid subinterface vlan name {}, example formatting is eth0.10", name.substr(0, 32)));
  }
  int id = 0;
  const char* last = name.data() + name.size();
  auto [end, status] = std::from_chars(name.data() + dot + 1, last, id);
  if (status != std::errc() || end != last) {
    return invalid(fmt::format("unable to parse a valid vlan id from: {} (ex. eth0.10 for vlan 10)",
                               name.substr(dot + 1, 32)));
  }
  if (id < 1 || id > kLastVlan)
    return invalid(fmt::format("vlan id must be between 1-{}, received: {}", kLastVlan, id));
  return std::pair(name.substr(0, dot), static_cast<uint16_t>(id));
}

}  // namespace

bool has_parent(const NetworkDriver& driver) {
  return driver == NetworkDriver::Macvlan || driver == NetworkDriver::Ipvlan;
}

bool leads_nowhere(const NetworkRecord& network) {
  return has_parent(network.driver) && option(network, kOptionParent).empty();
}

std::string parent_name(const NetworkRecord& network) {
  if (!leads_nowhere(network)) return option(network, kOptionParent);
  return fmt::format("{}-{}", network.driver == NetworkDriver::Macvlan ? "dm" : "di",
                     network.id.substr(0, 12));
}

bool routes_by_device(const NetworkRecord& network) {
  return network.driver == NetworkDriver::Ipvlan && option(network, kOptionIpvlanMode).starts_with("l3");
}

std::optional<uint16_t> ipvlan_flags(std::string_view name) {
  if (name.empty() || name == "bridge") return 0;
  if (name == "private") return IPVLAN_F_PRIVATE;
  if (name == "vepa") return IPVLAN_F_VEPA;
  return std::nullopt;
}

Result<void> check_parent(const NetworkRecord& network, const Surroundings& surroundings) {
  CHECK(check_words(network));
  std::string parent = option(network, kOptionParent);
  if (parent.empty()) return {};
  if (!is_link_name(parent)) return invalid(fmt::format("invalid parent \"{}\"", parent.substr(0, 64)));
  if (parent == "lo") {
    return invalid(
        fmt::format("loopback interface is not a valid {} parent link", to_string(network.driver)));
  }
  for (const NetworkRecord* other : surroundings.networks) {
    if (other->driver != network.driver || parent_name(*other) != parent) continue;
    if (network.driver == NetworkDriver::Ipvlan) {
      return failure(Kind::Forbidden, "network {} is already using parent interface {}", other->name, parent);
    }
    if (is_passthru(network)) {
      return failure(Kind::Forbidden,
                     "cannot use mode passthru, macvlan network {} is already using parent interface {}",
                     other->name, parent);
    }
    if (is_passthru(*other)) {
      return failure(Kind::Forbidden,
                     "macvlan network {} is already using parent interface {} in mode passthru", other->name,
                     parent);
    }
  }
  return {};
}

Result<void> ensure_parent(sys::RouteSocket& routes, const NetworkRecord& network, const std::string& owner) {
  std::string name = parent_name(network);
  auto link = routes.link(name);
  if (link) return {};
  if (link.error().kind() != Kind::NotFound) return std::move(link).error();
  sys::RouteBatch batch;
  if (leads_nowhere(network)) {
    batch.create_dummy({.name = name, .alias = owner});
  } else {
    TRY(auto vlan, parse_vlan(name));
    auto master = routes.link(vlan.first);
    if (!master) {
      if (master.error().kind() != Kind::NotFound) return std::move(master).error();
      return invalid(fmt::format("-o parent interface was not found on the host: {}", vlan.first));
    }
    batch.create_vlan({.name = name, .parent = master->index, .id = vlan.second, .alias = owner});
  }
  auto made = routes.run(batch);
  if (!made) return std::move(made).error().in(fmt::format("network {}: parent", network.name));
  return {};
}

}  // namespace berth::network
