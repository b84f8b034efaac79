// The façade: networks, attaching and detaching.
#include "network/networks.h"

#include <algorithm>

#include "base/format.h"
#include "base/id.h"
#include "base/rollback.h"
#include "base/sha256.h"
#include "network/networks_state.h"
#include "network/resolv_conf.h"

namespace berth::network {
namespace {

constexpr std::string_view kDefaultExecRoot = "/run/berth";

template <class Record>
void sort_by_creation(std::vector<const Record*>& records) {
  std::stable_sort(records.begin(), records.end(), [](const Record* a, const Record* b) {
    if (a->predefined != b->predefined) return a->predefined;
    if (a->predefined) return a->driver < b->driver;
    return a->created < b->created;
  });
}

/// Nameservers count as used: a network over the host's resolver would cut it off.
void add_nameservers(std::vector<IpPrefix>& used) {
  std::string text = read_host_resolv_conf();
  auto config = make_resolv_conf(text, {}, ResolverView::EmbeddedDns, true);
  for (const auto& server : config.upstream) {
    if (auto address = IpPrefix::parse(server)) used.push_back(*address);
  }
}

}  // namespace

std::string instance_of_exec_root(std::string_view exec_root) {
  while (exec_root.size() > 1 && exec_root.ends_with('/')) exec_root.remove_suffix(1);
  if (exec_root == kDefaultExecRoot) return {};
  return std::string(sha256(exec_root).hex().substr(0, 8));
}

IpAddress target_of(const EndpointRecord& endpoint, const PublishedPort& port) {
  bool prefers_v6 = port.host_ip.is_v6();
  if (prefers_v6 && endpoint.ipv6) return endpoint.ipv6->address;
  if (!prefers_v6 && endpoint.ipv4) return endpoint.ipv4->address;
  if (endpoint.ipv4) return endpoint.ipv4->address;
  return endpoint.ipv6 ? endpoint.ipv6->address : IpAddress();
}

std::vector<PortForward> forwards_of(const EndpointRecord& endpoint) {
  std::vector<PortForward> forwards;
  for (const auto& port : endpoint.ports) {
    IpAddress target = target_of(endpoint, port);
    if (target.family() != port.host_ip.family()) continue;
    forwards.push_back({port.protocol, port.host_ip, port.host_port, target, port.container_port});
  }
  return forwards;
}

Result<void> LinkRemoval::run() const {
  if (host_links.empty()) return {};
  TRY(auto routes, sys::RouteSocket::open());
  std::optional<Error> error;
  for (const auto& link : host_links) {
    sys::RouteBatch batch;
    batch.delete_link(link);
    auto deleted = routes.run(batch);
    if (!deleted && deleted.error().kind() != Kind::NotFound && !error) error = std::move(deleted).error();
  }
  if (error) return *std::move(error);
  return {};
}

void LinkRemoval::merge(LinkRemoval other) {
  host_links.insert(host_links.end(), std::make_move_iterator(other.host_links.begin()),
                    std::make_move_iterator(other.host_links.end()));
}

Result<Surroundings> Networks::State::surroundings() {
  Surroundings found;
  found.host_has_ipv6 = ipv6;
  std::set<uint32_t> own_links;
  TRY(auto links, routes.links());
  for (const auto& [id, network] : networks) {
    found.networks.push_back(&network);
    for (const auto& link : links) {
      if (!network.bridge.empty() && link.name == network.bridge) own_links.insert(link.index);
    }
  }
  TRY(auto all, routes.routes());
  for (const auto& route : all) {
    if (route.destination.length > 0 && !own_links.contains(route.link))
      found.routes.push_back(route.destination);
  }
  add_nameservers(found.routes);
  return found;
}

const NetworkRecord& Networks::State::add_network(NetworkRecord record) {
  std::vector<AddressPool> own_pools;
  for (const auto& pool : record.pools) own_pools.emplace_back(pool);
  pools[record.id] = std::move(own_pools);
  std::string id = record.id;
  return networks.insert_or_assign(std::move(id), std::move(record)).first->second;
}

AddressPool* Networks::State::pool(const std::string& network_id, IpFamily family) {
  auto found = pools.find(network_id);
  if (found == pools.end()) return nullptr;
  for (auto& pool : found->second) {
    if (pool.subnet().family() == family) return &pool;
  }
  return nullptr;
}

uint32_t Networks::State::wanted_mtu(const NetworkRecord& network) {
  if (uint32_t mtu = mtu_of(network); mtu != 0) return mtu;
  if (options.mtu != 0) return options.mtu;
  // A smaller uplink (tunnels, clouds) would have large packets dropped on their way out.
  auto uplink = uplink_mtu(routes);
  return uplink && *uplink >= 1280 && *uplink < 1500 ? *uplink : 0;
}

FirewallState Networks::State::firewall_state() const {
  FirewallState state;
  for (const auto& [id, network] : networks) {
    if (network.driver != NetworkDriver::Bridge || !bridges.is_ready(network.bridge)) continue;
    FirewallNetwork rules{
        network.bridge, {}, {}, network.internal, option_is_on(network, kOptionMasquerade, true)};
    if (const auto* pool4 = network.pool(IpFamily::V4)) rules.subnet4 = pool4->subnet;
    if (const auto* pool6 = network.pool(IpFamily::V6)) rules.subnet6 = pool6->subnet;
    state.networks.push_back(std::move(rules));
  }
  for (const auto& [id, endpoint] : endpoints) {
    auto forwards = forwards_of(endpoint);
    state.ports.insert(state.ports.end(), forwards.begin(), forwards.end());
  }
  return state;
}

Result<void> Networks::State::rebuild_firewall() {
  CHECK(nft.commit(plan_firewall(table_name(options), firewall_state(), ipv6)));
  table_present = true;
  return {};
}

Result<void> Networks::State::remove_firewall() {
  std::vector<sys::NftFamily> families;
  for (sys::NftFamily family : {sys::NftFamily::Ip, sys::NftFamily::Ip6}) {
    TRY(bool present, nft.has_table(family, table_name(options)));
    if (present) families.push_back(family);
  }
  CHECK(nft.commit(plan_remove_tables(table_name(options), families)));
  table_present = false;
  return {};
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
  TRY(uint32_t index, bridges.ensure(network, was_ready ? 0 : wanted_mtu(network)));
  if (!forwarding_checked) {
    TRY(auto said, enable_forwarding(ipv6 && network.enable_ipv6));
    notices.insert(notices.end(), said.begin(), said.end());
    forwarding_checked = ipv6 == network.enable_ipv6;
  }
  if (!was_ready) {
    TRY(auto restored, restore_ports(network, index));
    notices.insert(notices.end(), restored.begin(), restored.end());
  }
  if (!was_ready || !table_present) {
    auto built = rebuild_firewall();
    if (!built) {
      bridges.forget(network.bridge);
      return std::move(built).error();
    }
  }
  return index;
}

Networks::Networks(std::unique_ptr<State> state) : state_(std::move(state)) {}
Networks::~Networks() = default;

Result<std::unique_ptr<Networks>> Networks::open(NetworkOptions options) {
  auto state = std::make_unique<State>();
  state->options = std::move(options);
  state->ipv6 = state->options.enable_ipv6 && host_has_ipv6();
  TRY(state->routes, sys::RouteSocket::open());
  TRY(state->nft, sys::NftSocket::open());
  TRY(state->conntrack, sys::ConntrackSocket::open());
  return std::unique_ptr<Networks>(new Networks(std::move(state)));
}

std::vector<const NetworkRecord*> Networks::list() const {
  std::vector<const NetworkRecord*> records;
  for (const auto& [id, record] : state_->networks) records.push_back(&record);
  sort_by_creation(records);
  return records;
}

Result<const NetworkRecord*> Networks::find(std::string_view name_or_id) const {
  if (name_or_id == "default") name_or_id = "bridge";
  const auto& networks = state_->networks;
  auto exact = networks.find(std::string(name_or_id));
  if (exact != networks.end()) return &exact->second;
  std::vector<const NetworkRecord*> by_prefix;
  for (const auto& [id, record] : networks) {
    if (record.name == name_or_id) return &record;
    if (!name_or_id.empty() && id.starts_with(name_or_id)) by_prefix.push_back(&record);
  }
  if (by_prefix.size() == 1) return by_prefix.front();
  if (by_prefix.size() > 1) {
    return failure(Kind::InvalidArgument, "network {} is ambiguous ({} matches found based on ID prefix)",
                   name_or_id, by_prefix.size());
  }
  return failure(Kind::NotFound, "network {} not found", name_or_id.substr(0, 128));
}

std::vector<const EndpointRecord*> Networks::endpoints(std::string_view network_id) const {
  std::vector<const EndpointRecord*> records;
  for (const auto& [id, record] : state_->endpoints) {
    if (record.network_id == network_id) records.push_back(&record);
  }
  return records;
}

std::vector<const EndpointRecord*> Networks::endpoints_of_container(std::string_view container_id) const {
  std::vector<const EndpointRecord*> records;
  for (const auto& [id, record] : state_->endpoints) {
    if (record.container_id == container_id) records.push_back(&record);
  }
  std::sort(records.begin(), records.end(),
            [](const auto* a, const auto* b) { return a->interface < b->interface; });
  return records;
}

Result<const NetworkRecord*> Networks::create(const NetworkRequest& request) {
  TRY(Surroundings surroundings, state_->surroundings());
  TRY(NetworkRecord record, plan_network(request, surroundings));
  auto link = state_->routes.link(record.bridge);
  if (link) {
    return failure(Kind::AlreadyExists, "a link named {} exists already: choose another bridge name",
                   record.bridge);
  }
  if (link.error().kind() != Kind::NotFound) return std::move(link).error();
  return &state_->add_network(std::move(record));
}

Result<LinkRemoval> Networks::remove(std::string_view name_or_id) {
  TRY(const NetworkRecord* network, find(name_or_id));
  if (network->predefined) {
    return failure(Kind::Forbidden, "{} is a pre-defined network and cannot be removed", network->name);
  }
  auto attached = endpoints(network->id);
  if (!attached.empty()) {
    return failure(Kind::Forbidden,
                   "error while removing network: network {} has active endpoints (name:\"{}\" id:\"{}\")",
                   network->name, attached.front()->container_name, attached.front()->id.substr(0, 12));
  }
  LinkRemoval removal;
  if (state_->bridges.is_ready(network->bridge) || state_->routes.link(network->bridge)) {
    removal.host_links.push_back(network->bridge);
  }
  bool was_ready = state_->bridges.is_ready(network->bridge);
  state_->bridges.forget(network->bridge);
  state_->pools.erase(network->id);
  state_->networks.erase(std::string(network->id));
  if (was_ready && state_->table_present) CHECK(state_->rebuild_firewall());
  return removal;
}

Result<void> Networks::State::take_addresses(const NetworkRecord& network, const AttachRequest& request,
                                             EndpointRecord& endpoint) {
  auto take = [&](IpFamily family, const std::optional<IpAddress>& wanted,
                  const std::optional<IpAddress>& previous, std::optional<IpPrefix>& address,
                  std::optional<IpAddress>& gateway) -> Result<void> {
    AddressPool* addresses = pool(network.id, family);
    if (addresses == nullptr) {
      if (!wanted) return {};
      return failure(Kind::InvalidArgument, "no configured subnet contains IP address {}",
                     wanted->to_string());
    }
    if (wanted) {
      CHECK(addresses->claim(*wanted));
      address = IpPrefix{*wanted, addresses->subnet().length};
    } else if (previous && addresses->claim(*previous)) {
      address = IpPrefix{*previous, addresses->subnet().length};
    } else {
      TRY(IpAddress next, addresses->allocate());
      address = IpPrefix{next, addresses->subnet().length};
    }
    if (!network.internal) gateway = network.pool(family)->gateway;
    return {};
  };
  CHECK(take(IpFamily::V4, request.ipv4, request.previous_ipv4, endpoint.ipv4, endpoint.gateway4));
  return take(IpFamily::V6, request.ipv6, request.previous_ipv6, endpoint.ipv6, endpoint.gateway6);
}

void Networks::State::release_addresses(const EndpointRecord& endpoint) {
  for (const auto& address : {endpoint.ipv4, endpoint.ipv6}) {
    if (!address) continue;
    if (AddressPool* addresses = pool(endpoint.network_id, address->family()))
      addresses->release(address->address);
  }
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
  sys::RouteBatch inside = plan_inside(index, endpoint);
  CHECK(netns.routes().run(inside));
  netns.count_link(true);
  rollback.keep();
  return {};
}

Result<std::vector<HeldPort>> Networks::State::hold_ports(const NetworkRecord& network,
                                                          const AttachRequest& request,
                                                          const EndpointRecord& endpoint) {
  std::vector<HeldPort> held;
  IpAddress shown = endpoint.ipv4   ? endpoint.ipv4->address
                    : endpoint.ipv6 ? endpoint.ipv6->address
                                    : IpAddress();
  auto binding = network.options.find(std::string(kOptionHostBinding));
  for (PortRequest port : request.ports) {
    if (!port.host_ip && binding != network.options.end()) {
      TRY(IpAddress host_ip, IpAddress::parse(binding->second));
      if (!host_ip.is_unspecified()) port.host_ip = host_ip;
    }
    auto taken = host_ports.hold(port, ipv6, shown);
    if (!taken) {
      for (const auto& earlier : held) host_ports.release(earlier.port);
      return std::move(taken).error();
    }
    std::move(taken->begin(), taken->end(), std::back_inserter(held));
  }
  return held;
}

Result<void> Networks::State::publish(const EndpointRecord& endpoint, std::vector<HeldPort> held) {
  auto forwards = forwards_of(endpoint);
  auto published = nft.commit(plan_publish(table_name(options), forwards));
  // Somebody flushed or changed the tables: write them anew as a whole.
  if (!published) CHECK(rebuild_firewall());
  forget_flows(endpoint);
  for (auto& port : held) {
    IpAddress target = target_of(endpoint, port.port);
    CHECK(proxy.serve(std::move(port), target));
  }
  return {};
}

void Networks::State::unpublish(const EndpointRecord& endpoint) {
  if (endpoint.ports.empty()) return;
  auto forwards = forwards_of(endpoint);
  if (!forwards.empty() && !nft.commit(plan_unpublish(table_name(options), forwards))) {
    // Elements that are gone already; the rest must not stay.
    auto rebuilt = rebuild_firewall();
    if (!rebuilt) notices.push_back(fmt::format("firewall: {}", rebuilt.error().message()));
  }
  forget_flows(endpoint);
  for (const auto& port : endpoint.ports) {
    proxy.stop(port);
    host_ports.release(port);
  }
}

void Networks::State::forget_flows(const EndpointRecord& endpoint) {
  for (const auto& port : endpoint.ports) {
    // An older kernel cannot: such flows then end after two minutes of silence.
    if (port.protocol == Protocol::Udp) (void)conntrack.forget_udp(port.host_ip.family(), port.host_port);
  }
}

Result<const EndpointRecord*> Networks::attach(const AttachRequest& request, sys::NetworkNamespace& netns) {
  TRY(const NetworkRecord* network, find(request.network));
  for (const auto* other : endpoints(network->id)) {
    if (other->container_id != request.container_id) continue;
    return failure(Kind::Forbidden, "endpoint with name {} already exists in network {}",
                   request.container_name, network->name);
  }
  EndpointRecord endpoint;
  endpoint.id = random_id();
  endpoint.network_id = network->id;
  endpoint.container_id = request.container_id;
  endpoint.container_name = request.container_name;
  endpoint.aliases = request.aliases;
  if (network->driver != NetworkDriver::Bridge) {
    return &state_->endpoints.emplace(endpoint.id, std::move(endpoint)).first->second;
  }
  endpoint.interface = request.interface;
  endpoint.host_link = fmt::format("{}{}", kHostLinkPrefix, endpoint.id.substr(0, 12));
  endpoint.is_default_gateway = request.default_gateway;

  Rollback rollback;
  rollback.add([&] { state_->release_addresses(endpoint); });
  CHECK(state_->take_addresses(*network, request, endpoint));
  endpoint.mac = request.mac     ? *request.mac
                 : endpoint.ipv4 ? MacAddress::of_ipv4(endpoint.ipv4->address)
                                 : MacAddress::random();
  auto connectivity_failed = [&](Error cause) {
    return Error(
        std::move(cause).in(fmt::format("driver failed programming external connectivity on endpoint {} ({})",
                                        request.container_name, endpoint.id)));
  };
  auto held = state_->hold_ports(*network, request, endpoint);
  if (!held) return connectivity_failed(std::move(held).error());
  for (const auto& port : *held) endpoint.ports.push_back(port.port);
  rollback.add([&] {
    for (const auto& port : endpoint.ports) {
      state_->proxy.stop(port);
      state_->host_ports.release(port);
    }
  });
  CHECK(state_->make_links(*network, endpoint, netns));
  const EndpointRecord* record = &state_->endpoints.emplace(endpoint.id, endpoint).first->second;
  rollback.add([&] { state_->endpoints.erase(endpoint.id); });
  if (!endpoint.ports.empty()) {
    auto published = state_->publish(*record, *std::move(held));
    if (!published) {
      (void)LinkRemoval{{endpoint.host_link}}.run();
      return connectivity_failed(std::move(published).error());
    }
  }
  rollback.keep();
  state_->update_names(network->id);
  state_->dns.set_container_networks(request.container_id, state_->networks_of(request.container_id));
  return record;
}

Result<LinkRemoval> Networks::detach(std::string_view endpoint_id) {
  auto found = state_->endpoints.find(std::string(endpoint_id));
  if (found == state_->endpoints.end()) return failure(Kind::NotFound, "endpoint {} not found", endpoint_id);
  EndpointRecord endpoint = std::move(found->second);
  state_->endpoints.erase(found);
  state_->unpublish(endpoint);
  state_->release_addresses(endpoint);
  state_->update_names(endpoint.network_id);
  if (needs_dns(endpoint.container_id)) {
    state_->dns.set_container_networks(endpoint.container_id, state_->networks_of(endpoint.container_id));
  } else {
    state_->dns.stop(endpoint.container_id);
  }
  LinkRemoval removal;
  if (!endpoint.host_link.empty()) removal.host_links.push_back(endpoint.host_link);
  return removal;
}

void Networks::rename_container(std::string_view container_id, std::string_view new_name) {
  for (auto& [id, endpoint] : state_->endpoints) {
    if (endpoint.container_id != container_id) continue;
    endpoint.container_name = new_name;
    state_->update_names(endpoint.network_id);
  }
}

bool Networks::State::has_names(const std::string& network_id) const {
  auto found = networks.find(network_id);
  return found != networks.end() && found->second.driver == NetworkDriver::Bridge &&
         !found->second.predefined;
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
    if (endpoint.container_id == container_id && !endpoint.host_link.empty())
      ids.push_back(endpoint.network_id);
  }
  return ids;
}

bool Networks::needs_dns(std::string_view container_id) const {
  auto ids = state_->networks_of(container_id);
  return std::any_of(ids.begin(), ids.end(), [&](const std::string& id) { return state_->has_names(id); });
}

Result<void> Networks::serve_dns(std::string_view container_id, const sys::NetworkNamespace& netns,
                                 const std::vector<std::string>& upstream) {
  return state_->dns.serve(std::string(container_id), netns, state_->networks_of(container_id), upstream);
}

Result<sys::LinkStatistics> Networks::statistics(std::string_view endpoint_id) {
  auto found = state_->endpoints.find(std::string(endpoint_id));
  if (found == state_->endpoints.end()) return failure(Kind::NotFound, "endpoint {} not found", endpoint_id);
  const EndpointRecord& endpoint = found->second;
  if (endpoint.host_link.empty()) return sys::LinkStatistics{};
  TRY(auto outside, state_->routes.statistics(endpoint.host_link));
  // What the outer end sends is what the container receives.
  sys::LinkStatistics inside;
  inside.name = endpoint.interface;
  inside.rx_bytes = outside.tx_bytes;
  inside.rx_packets = outside.tx_packets;
  inside.rx_errors = outside.tx_errors;
  inside.rx_dropped = outside.tx_dropped;
  inside.tx_bytes = outside.rx_bytes;
  inside.tx_packets = outside.rx_packets;
  inside.tx_errors = outside.rx_errors;
  inside.tx_dropped = outside.rx_dropped;
  return inside;
}

std::vector<std::string> Networks::take_notices() {
  return std::exchange(state_->notices, {});
}

}  // namespace berth::network
