// What Networks writes into nf_tables: its own tables, and its chains in the host's filter table.
#include <algorithm>

#include "base/format.h"
#include "network/host_filter.h"
#include "network/networks_state.h"

namespace berth::network {
namespace {

sys::NftFamily table_family(IpFamily family) {
  return family == IpFamily::V4 ? sys::NftFamily::Ip : sys::NftFamily::Ip6;
}

}  // namespace

FirewallNetwork Networks::State::firewall_network(const NetworkRecord& network) const {
  FirewallNetwork rules{.bridge = network.bridge,
                        .internal = network.internal,
                        .closed = is_closed(network),
                        .masquerade = option_is_on(network, kOptionMasquerade, true),
                        .source4 = address_option(network, kOptionHost4),
                        .source6 = address_option(network, kOptionHost6),
                        .mode4 = gateway_mode(network, IpFamily::V4),
                        .mode6 = gateway_mode(network, IpFamily::V6),
                        .direct = options.direct_routing,
                        .trusted = trusted_interfaces(network)};
  if (const auto* pool4 = network.pool(IpFamily::V4)) rules.subnet4 = pool4->subnet;
  if (const auto* pool6 = network.pool(IpFamily::V6)) rules.subnet6 = pool6->subnet;
  return rules;
}

FirewallState Networks::State::firewall_state() const {
  FirewallState state;
  for (const auto& [id, network] : networks) {
    if (network.driver == NetworkDriver::Bridge && bridges.is_ready(network.bridge))
      state.networks.push_back(firewall_network(network));
  }
  for (const auto& [id, endpoint] : endpoints) {
    auto forwards = forwards_of(endpoint);
    state.ports.forwards.insert(state.ports.forwards.end(), forwards.begin(), forwards.end());
    auto open = open_ports_of(endpoint);
    state.ports.open.insert(state.ports.open.end(), open.begin(), open.end());
  }
  for (const EndpointLink& link : links) {
    auto linked = linked_ports(link);
    state.ports.linked.insert(state.ports.linked.end(), linked.begin(), linked.end());
  }
  return state;
}

FirewallFamilies Networks::State::firewall_families() const {
  return {.ipv4 = options.firewall4, .ipv6 = options.firewall6 && ipv6};
}

Result<void> Networks::State::add_to_firewall(const NetworkRecord& network) {
  FirewallFamilies families = firewall_families();
  auto added = table_present && new_router.empty()
                   ? nft.commit(plan_add_network(table_name(options), firewall_network(network), families))
                   : Result<void>(Error(Kind::WrongState, "no tables to add to"));
  // Somebody has flushed or changed the tables.
  if (!added) return rebuild_firewall();
  for (IpFamily family : families.list()) {
    std::string chain = own_filter_chain(options.instance);
    auto seen = read_host_filter(nft, table_family(family));
    if (!seen || !is_in_place(*seen, chain) ||
        !nft.commit(plan_add_to_host_filter(table_family(family), chain, network.bridge)))
      return rebuild_firewall();
  }
  return {};
}

Result<void> Networks::State::remove_from_firewall(const std::string& bridge) {
  const std::string table = table_name(options);
  const std::string chain = own_filter_chain(options.instance);
  for (IpFamily address_family : firewall_families().list()) {
    sys::NftFamily family = table_family(address_family);
    std::map<std::string, std::vector<sys::NftRuleInfo>> rules;
    for (const std::string& name : network_chains()) {
      TRY(rules[name], nft.rules(family, table, name));
    }
    CHECK(nft.commit(plan_remove_network(table, family, bridge, rules)));
    TRY(auto passing, read_own_filter(nft, family, chain));
    CHECK(nft.commit(plan_remove_from_host_filter(family, chain, bridge, passing)));
  }
  return {};
}

Result<void> Networks::State::rebuild_firewall() {
  FirewallState state = firewall_state();
  FirewallFamilies families = firewall_families();
  auto plan = plan_firewall(table_name(options), state, families);
  if (!plan.empty()) CHECK(nft.commit(plan));
  table_present = true;
  std::vector<std::string> bridge_names;
  for (const FirewallNetwork& network : state.networks) bridge_names.push_back(network.bridge);
  for (IpFamily family : families.list()) {
    // The host's own table may be one that others have made otherwise: containers run nevertheless.
    auto written = write_host_filter(family, bridge_names);
    if (!written && host_filter_complaints.insert(family).second)
      notices.push_back(fmt::format("the host's filter table: {}", written.error().message()));
  }
  return {};
}

Result<void> Networks::State::write_host_filter(IpFamily family, const std::vector<std::string>& names) {
  TRY(HostFilterState seen, read_host_filter(nft, table_family(family)));
  auto policy = new_router.contains(family) ? ForwardPolicy::Drop : ForwardPolicy::Keep;
  CHECK(nft.commit(
      plan_host_filter(table_family(family), own_filter_chain(options.instance), names, seen, policy)));
  if (new_router.erase(family) != 0)
    notices.push_back(
        fmt::format("packets that are not containers' are forwarded no more unless a rule of {} "
                    "says so: the host is no router for everybody",
                    family == IpFamily::V4 ? "iptables" : "ip6tables"));
  return {};
}

Result<void> Networks::State::remove_firewall(const std::vector<IpFamily>& gone) {
  std::vector<sys::NftFamily> families;
  for (IpFamily address_family : gone) {
    sys::NftFamily family = table_family(address_family);
    TRY(bool present, nft.has_table(family, table_name(options)));
    if (present) families.push_back(family);
    TRY(HostFilterState seen, read_host_filter(nft, family));
    CHECK(nft.commit(plan_leave_host_filter(family, own_filter_chain(options.instance), seen)));
    TRY(HostFilterState left, read_host_filter(nft, family));
    // Not while a rule of somebody's leads to the chain.
    (void)nft.commit(plan_tidy_host_filter(family, left));
  }
  return nft.commit(plan_remove_tables(table_name(options), families));
}

void Networks::State::notice_other_firewalls() {
  for (sys::NftFamily family : {sys::NftFamily::Ip, sys::NftFamily::Ip6}) {
    auto chains = nft.dropping_chains(family, sys::NftHook::Forward);
    if (!chains) continue;
    for (const auto& chain : *chains) {
      if (chain == "filter FORWARD") continue;  // lets berth's pass
      notices.push_back(
          fmt::format("firewall chain \"{} {}\" drops forwarded packets unless told otherwise: let it accept "
                      "those of {}, or "
                      "containers will not reach the world",
                      family == sys::NftFamily::Ip ? "ip" : "ip6", chain, default_bridge_name(options)));
    }
  }
}

}  // namespace berth::network
