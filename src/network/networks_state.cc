// What Networks does to the kernel and to its own tables, step by step: bridges, addresses, links, ports,
// names.
#include "network/networks_state.h"

#include <algorithm>
#include <cerrno>

#include "base/format.h"
#include "base/rollback.h"
#include "network/default_network.h"
#include "network/parent_link.h"
#include "network/resolv_conf.h"
#include "sys/netlink_neighbour.h"

namespace berth::network {
namespace {

/// Nameservers count as used: a network over the host's resolver would cut it off.
void add_nameservers(std::vector<IpPrefix>& used) {
  std::string text = read_host_resolv_conf();
  auto config = make_resolv_conf(text, {}, ResolverView::EmbeddedDns, true);
  for (const auto& server : config.upstream) {
    if (auto address = IpPrefix::parse(server)) used.push_back(*address);
  }
}

}  // namespace

Result<Surroundings> Networks::State::surroundings() {
  Surroundings found;
  found.host_has_ipv6 = ipv6;
  found.address_pools = options.address_pools;
  found.default_options = options.default_options;
  std::set<std::string_view> own_names;
  for (const auto& [id, network] : networks) {
    found.networks.push_back(&network);
    if (!network.bridge.empty()) own_names.insert(network.bridge);
  }
  std::set<uint32_t> own_links;
  TRY(auto links, routes.links());
  for (const auto& link : links) {
    if (own_names.contains(link.name)) own_links.insert(link.index);
  }
  TRY(auto all, routes.routes());
  for (const auto& route : all) {
    if (route.destination.length > 0 && !own_links.contains(route.link))
      found.routes.push_back(route.destination);
  }
  add_nameservers(found.routes);
  return found;
}

Result<void> Networks::State::find_given_bridge() {
  auto link = routes.link(options.bridge_name);
  if (!link && link.error().kind() != Kind::NotFound) return std::move(link).error();
  const bool is_docker0 = options.bridge_name == kDockerBridge;
  makes_given_bridge = is_docker0 || (link && link->alias == table_name(options));
  if (makes_given_bridge && (!is_docker0 || !link)) return {};
  if (!link || link->kind != "bridge") {
    return failure(Kind::InvalidArgument, "bridge {} of --bridge {}: make it first, or leave the option out",
                   options.bridge_name, link ? "is no bridge" : "does not exist");
  }
  TRY(auto all, routes.addresses());
  std::vector<IpPrefix> own;
  for (const auto& address : all) {
    if (address.link == link->index) own.push_back(address.address);
  }
  return build_on_bridge(own, is_docker0 ? BridgeAddresses::OfTheEngine : BridgeAddresses::OfTheHost,
                         options);
}

const NetworkRecord& Networks::State::add_network(NetworkRecord record) {
  std::vector<AddressPool> own_pools;
  if (record.config_only) return networks.insert_or_assign(record.id, record).first->second;
  for (IpamPool pool : record.pools) {
    // An address that nobody has is there for containers.
    if (!reserves_gateway(record, pool.subnet.family())) pool.gateway = IpAddress();
    own_pools.emplace_back(pool);
  }
  pools[record.id] = std::move(own_pools);
  std::string id = record.id;
  return networks.insert_or_assign(std::move(id), std::move(record)).first->second;
}

AddressPool* Networks::State::pool_of(const std::string& network_id, const IpAddress& address) {
  auto found = pools.find(network_id);
  if (found == pools.end()) return nullptr;
  for (auto& pool : found->second) {
    if (pool.subnet().contains(address)) return &pool;
  }
  return nullptr;
}

Result<IpPrefix> Networks::State::allocate_address(const std::string& network_id, IpFamily family) {
  std::optional<Error> exhausted;
  for (Rest rest : {Rest::WhileLinksLinger, Rest::Over}) {
    settle_resting(network_id, rest);
    for (AddressPool& pool : pools.at(network_id)) {
      if (pool.subnet().family() != family) continue;
      auto address = pool.allocate();
      if (address) return IpPrefix{*address, pool.subnet().length};
      exhausted = std::move(address).error();
    }
  }
  return *std::move(exhausted);
}

void Networks::State::rest_addresses(const EndpointRecord& endpoint) {
  constexpr std::chrono::seconds kRest{2};
  auto until = std::chrono::steady_clock::now() + kRest;
  const std::string& bridge = networks.at(endpoint.network_id).bridge;
  auto index = bridges.index(bridge);
  for (const auto& address : {endpoint.ipv4, endpoint.ipv6}) {
    if (!address) continue;
    resting.push_back({endpoint.network_id, address->address, endpoint.host_link, until});
    // The next container of this address begins on another port of the bridge: what is sent to it before that
    // port forwards waits for an answer to the host's question, and would be lost if it had none to ask.
    if (index) sys::forget_neighbour(*index, address->address);
  }
}

void Networks::State::settle_resting(const std::string& network_id, Rest rest) {
  auto now = std::chrono::steady_clock::now();
  std::erase_if(resting, [&](const RestingAddress& one) {
    if (one.network_id != network_id) return false;
    bool lingers = one.link.empty() ? now < one.until : routes.link(one.link).has_value();
    if (lingers && rest == Rest::WhileLinksLinger) return false;
    if (AddressPool* own = pool_of(network_id, one.address)) own->release(one.address);
    return true;
  });
}

uint32_t Networks::State::wanted_mtu(const NetworkRecord& network) {
  if (uint32_t mtu = mtu_of(network); mtu != 0) return mtu;
  if (options.mtu != 0) return options.mtu;
  // A smaller uplink (tunnels, clouds) would have large packets dropped on their way out.
  if (!uplink) uplink = uplink_mtu(routes).value_or(0);
  return *uplink >= 1280 && *uplink < 1500 ? *uplink : 0;
}

void Networks::State::note_mtu(NetworkRecord& network) {
  constexpr uint32_t kEthernet = 1500;
  uint32_t mtu = wanted_mtu(network);
  network.mtu = mtu != 0 ? mtu : kEthernet;
}

Result<void> Networks::State::settle_subnet(NetworkRecord& network) {
  if (network.driver != NetworkDriver::Bridge) return {};
  if (bridges.is_ready(network.bridge) || network.pools.empty() || !network.pools.front().automatic)
    return {};
  bool used = std::any_of(endpoints.begin(), endpoints.end(),
                          [&](const auto& entry) { return entry.second.network_id == network.id; });
  if (used) return {};
  TRY(Surroundings found, surroundings());
  IpamPool& pool = network.pools.front();
  bool overlaps = std::any_of(found.routes.begin(), found.routes.end(),
                              [&](const IpPrefix& route) { return route.overlaps(pool.subnet); });
  if (!overlaps) return {};
  TRY(IpamPool other, plan_automatic_pool(found));
  notices.push_back(fmt::format("network {} moves from {} to {}, as the host routes the former elsewhere",
                                network.name, pool.subnet.to_string(), other.subnet.to_string()));
  pool = std::move(other);
  pools[network.id].front() = AddressPool(pool);
  changed.insert(network.id);
  return {};
}

Result<void> Networks::State::ensure_forwarding(const NetworkRecord& network) {
  if (!options.forward) return {};
  auto ensure = [&](IpFamily family, bool& done) -> Result<void> {
    if (done || network.pool(family) == nullptr) return {};
    TRY(auto said, enable_forwarding(family));
    if (!said.empty() && options.forward_drop) new_router.insert(family);
    notices.insert(notices.end(), said.begin(), said.end());
    done = true;
    return {};
  };
  CHECK(ensure(IpFamily::V4, forwards4));
  return ensure(IpFamily::V6, forwards6);
}

Result<std::vector<std::string>> Networks::State::restore_ports(const NetworkRecord& network,
                                                                uint32_t index) {
  std::vector<std::string> sentences;
  for (const auto& [id, endpoint] : endpoints) {
    if (endpoint.network_id != network.id || endpoint.host_link.empty()) continue;
    auto outer = routes.link(endpoint.host_link);
    if (!outer && outer.error().kind() != Kind::NotFound) return std::move(outer).error();
    if (!outer) {
      sentences.push_back(fmt::format("container {} has lost its link {} to network {}: restart it",
                                      endpoint.container_name, endpoint.host_link, network.name));
      continue;
    }
    if (outer->master == index && outer->up) continue;
    sys::RouteBatch batch;
    batch.change_link({.index = outer->index, .up = true, .master = index});
    batch.change_bridge_port(plan_port(network, endpoint.host_link));
    CHECK(routes.run(batch));
    sentences.push_back(fmt::format("link {} of container {} is put back on {}", endpoint.host_link,
                                    endpoint.container_name, network.bridge));
  }
  return sentences;
}

Result<uint32_t> Networks::State::bring_up(const NetworkRecord& network) {
  bool was_ready = bridges.is_ready(network.bridge);
  if (!was_ready) uplink.reset();
  TRY(uint32_t index, bridges.ensure(network, was_ready ? 0 : wanted_mtu(network)));
  if (!was_ready) note_mtu(networks.at(network.id));
  CHECK(ensure_forwarding(network));
  if (!was_ready) {
    TRY(auto restored, restore_ports(network, index));
    notices.insert(notices.end(), restored.begin(), restored.end());
    if (!links.empty()) CHECK(settle_linked_neighbours(network));
  }
  if (!table_present) notice_other_firewalls();
  if (!was_ready || !table_present) {
    auto built = was_ready ? rebuild_firewall() : add_to_firewall(network);
    if (!built) {
      bridges.forget(network.bridge);
      return std::move(built).error();
    }
  }
  return index;
}

Result<IpPrefix> Networks::State::claim_address(const std::string& network_id, const IpAddress& address) {
  AddressPool* own = pool_of(network_id, address);
  if (own == nullptr) {
    return failure(Kind::InvalidArgument, "no configured subnet contains IP address {}", address.to_string());
  }
  // Who asks for this one gets it, resting or not.
  std::erase_if(resting, [&](const RestingAddress& one) {
    if (one.network_id != network_id || one.address != address) return false;
    own->release(address);
    return true;
  });
  CHECK(own->claim(address));
  return IpPrefix{address, own->subnet().length};
}

Result<void> Networks::State::take_addresses(const NetworkRecord& network, const AttachRequest& request,
                                             EndpointRecord& endpoint) {
  auto take = [&](IpFamily family, const std::optional<IpAddress>& wanted,
                  const std::optional<IpAddress>& previous, std::optional<IpPrefix>& address,
                  std::optional<IpAddress>& gateway) -> Result<void> {
    if (wanted) {
      TRY(address, claim_address(network.id, *wanted));
    } else if (network.pool(family) == nullptr) {
      return {};
    } else {
      auto again = previous ? claim_address(network.id, *previous) : allocate_address(network.id, family);
      if (!again && previous) again = allocate_address(network.id, family);
      if (!again) return std::move(again).error();
      address = *again;
    }
    if (network.internal || leads_nowhere(network) || routes_by_device(network)) return {};
    for (const IpamPool& pool : network.pools) {
      if (pool.subnet.contains(address->address)) gateway = pool.container_gateway();
    }
    return {};
  };
  CHECK(take(IpFamily::V4, request.ipv4, request.previous_ipv4, endpoint.ipv4, endpoint.gateway4));
  if (request.without_ipv6) return {};
  return take(IpFamily::V6, request.ipv6, request.previous_ipv6, endpoint.ipv6, endpoint.gateway6);
}

void Networks::State::release_addresses(const EndpointRecord& endpoint) {
  for (const auto& address : {endpoint.ipv4, endpoint.ipv6}) {
    if (!address) continue;
    if (AddressPool* own = pool_of(endpoint.network_id, address->address)) own->release(address->address);
  }
}

bool Networks::State::disable_ipv6(const std::string& interface, const sys::NetworkNamespace& netns) const {
  // Beside Ipv6LinkLocal::None, as docker has it: nothing in the container can give itself an address.
  auto work = [&] { return sys::write_sysctl(fmt::format("net/ipv6/conf/{}/disable_ipv6", interface), "1"); };
  auto written = netns.run_inside(work);
  return written || written.error().kind() != Kind::NotFound;
}

Result<void> Networks::State::make_links(const NetworkRecord& network, EndpointRecord& endpoint,
                                         sys::NetworkNamespace& netns) {
  EndpointLinks links;
  links.host_link = endpoint.host_link;
  links.mtu = wanted_mtu(network);
  links.port = plan_port(network, endpoint.host_link);
  links.netns = netns.fd();
  Rollback rollback;
  for (int attempt = 0;; ++attempt) {
    TRY(links.bridge_index, bring_up(network));
    sys::RouteBatch batch = plan_host_side(links, endpoint);
    auto made = routes.run(batch);
    if (made) break;
    netns.count_link(false);
    if (made.error().errno_value() == EEXIST && netns.routes().link(endpoint.interface)) {
      return failure(Kind::AlreadyExists, "error renaming interface {} to {}: file exists",
                     endpoint.host_link, endpoint.interface);
    }
    // Somebody may have deleted the bridge since its index was learned.
    auto bridge = routes.link(network.bridge);
    bool is_there = bridge && bridge->index == links.bridge_index;
    if (is_there || attempt > 0) return std::move(made).error();
    bridges.forget(network.bridge);
  }
  rollback.add([&] {
    sys::RouteBatch undo;
    undo.delete_link(endpoint.host_link);
    (void)routes.run(undo);
  });
  uint32_t index = netns.next_link_index();
  if (index == 0) {
    TRY(auto inner, netns.routes().link(endpoint.interface));
    index = inner.index;
  }
  bool has_ipv6 = endpoint.ipv6 || disable_ipv6(endpoint.interface, netns);
  sys::RouteBatch inside = plan_inside(index, endpoint, has_ipv6);
  CHECK(netns.routes().run(inside));
  netns.count_link(true);
  rollback.keep();
  return {};
}

Result<void> Networks::State::make_sublink(const NetworkRecord& network, const EndpointRecord& endpoint,
                                           sys::NetworkNamespace& netns) {
  auto option = [&](std::string_view name) {
    auto found = network.options.find(std::string(name));
    return found == network.options.end() ? std::string() : found->second;
  };
  std::string parent = parent_name(network);
  CHECK(ensure_parent(routes, network, table_name(options)));
  auto link = routes.link(parent);
  if (!link) return std::move(link).error().in(fmt::format("network {}: parent interface", network.name));
  bool macvlan = network.driver == NetworkDriver::Macvlan;
  sys::NewSublink sublink{.name = endpoint.interface,
                          .parent = link->index,
                          .kind = macvlan ? sys::SublinkKind::Macvlan : sys::SublinkKind::Ipvlan,
                          .mode = macvlan ? macvlan_mode(option(kOptionMacvlanMode)).value_or(0)
                                          : ipvlan_mode(option(kOptionIpvlanMode)).value_or(0),
                          .flags = ipvlan_flags(option("ipvlan_flag")).value_or(0),
                          .mtu = mtu_of(network),
                          .netns = netns.fd()};
  if (macvlan) sublink.mac = endpoint.mac;  // ipvlan's interfaces all have their parent's
  sys::RouteBatch batch;
  batch.create_sublink(sublink);
  netns.count_link(false);
  if (auto made = routes.run(batch); !made) {
    bool unknown = made.error().errno_value() == EOPNOTSUPP;
    if (!unknown) return std::move(made).error().in("network", network.name);
    return failure(Kind::Unsupported, "network {}: this kernel has no {}", network.name,
                   to_string(network.driver));
  }
  TRY(auto inner, netns.routes().link(endpoint.interface));
  bool has_ipv6 = endpoint.ipv6 || disable_ipv6(endpoint.interface, netns);
  sys::RouteBatch inside = plan_inside(inner.index, endpoint, has_ipv6);
  if (routes_by_device(network) && !network.internal && endpoint.is_default_gateway) {
    for (const auto& address : {endpoint.ipv4, endpoint.ipv6}) {
      if (address)
        inside.add_route({.destination = {IpAddress::any(address->family()), 0}, .link = inner.index});
    }
  }
  return netns.routes().run(inside);
}

bool Networks::State::has_names(const std::string& network_id) const {
  auto found = networks.find(network_id);
  return found != networks.end() && found->second.has_names();
}

void Networks::State::update_names(const std::string& network_id) {
  if (!has_names(network_id)) return;
  const NetworkRecord& record = networks.at(network_id);
  DnsNetwork network{record.name, record.internal, {}};
  for (const auto& [id, endpoint] : endpoints) {
    if (endpoint.network_id == network_id) network.endpoints.push_back(dns_endpoint_of(endpoint));
  }
  dns.set_network(network_id, std::move(network));
}

std::vector<std::string> Networks::State::networks_of(std::string_view container_id) const {
  std::vector<std::string> ids;
  for (const auto& [id, endpoint] : endpoints) {
    if (endpoint.container_id == container_id && !endpoint.interface.empty())
      ids.push_back(endpoint.network_id);
  }
  return ids;
}

}  // namespace berth::network
