// The façade: networks, attaching and detaching.
#include "network/networks.h"

#include <fcntl.h>
#include <sys/random.h>

#include <algorithm>

#include "base/format.h"
#include "base/id.h"
#include "base/rollback.h"
#include "base/sha256.h"
#include "network/networks_state.h"
#include "network/parent_link.h"
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

/// One deletion waits for the kernel as long as that of a thousand in a group.
Result<void> delete_together(sys::RouteSocket& routes, const std::vector<std::string>& links) {
  uint32_t group = 0;
  (void)!::getrandom(&group, sizeof(group), 0);
  group |= 0x80000000;  // those that people number are small
  for (const std::string& link : links) {
    sys::RouteBatch batch;
    batch.set_group(link, group);
    auto grouped = routes.run(batch);
    if (!grouped && grouped.error().kind() != Kind::NotFound) return grouped;
  }
  sys::RouteBatch batch;
  batch.delete_group(group);
  auto deleted = routes.run(batch);
  if (!deleted && deleted.error().kind() != Kind::NotFound) return deleted;
  return {};
}

}  // namespace

std::string instance_of_exec_root(std::string_view exec_root) {
  while (exec_root.size() > 1 && exec_root.ends_with('/')) exec_root.remove_suffix(1);
  if (exec_root == kDefaultExecRoot) return {};
  return std::string(sha256(exec_root).hex().substr(0, 8));
}

Result<void> LinkRemoval::run() const {
  if (host_links.empty()) return {};
  TRY(auto routes, sys::RouteSocket::open());
  if (host_links.size() > 1) return delete_together(routes, host_links);
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

Networks::Networks(std::unique_ptr<State> state) : state_(std::move(state)) {}
Networks::~Networks() = default;

Result<std::unique_ptr<Networks>> Networks::open(NetworkOptions options) {
  auto state = std::make_unique<State>();
  state->options = std::move(options);
  state->ipv6 = host_has_ipv6();
  state->bridges.set_owner(table_name(state->options));
  TRY(state->routes, sys::RouteSocket::open());
  if (!state->options.bridge_name.empty()) CHECK(state->find_given_bridge());
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

std::vector<IpAddress> Networks::host_gateways() const {
  const NetworkOptions& options = state_->options;
  if (!options.host_gateways.empty()) return options.host_gateways;
  std::vector<IpAddress> gateways;
  auto bridge = find("bridge");
  if (!bridge) return gateways;
  // A subnet that nobody asked for is no reason to send clients of a name to IPv6 first.
  bool wants_ipv6 = options.bridge_subnet6 || options.bridge_range6;
  for (const IpamPool& pool : (*bridge)->pools) {
    if (pool.subnet.family() == IpFamily::V4 || wants_ipv6) gateways.push_back(pool.gateway);
  }
  return gateways;
}

Result<const NetworkRecord*> Networks::create(const NetworkRequest& request) {
  TRY(Surroundings surroundings, state_->surroundings());
  TRY(NetworkRecord record, plan_network(request, surroundings));
  if (has_parent(record.driver)) CHECK(ensure_parent(state_->routes, record, table_name(state_->options)));
  if (record.bridge.empty()) return &state_->add_network(std::move(record));
  auto link = state_->routes.link(record.bridge);
  if (!link && link.error().kind() != Kind::NotFound) return std::move(link).error();
  // A bridge of the host's own is used as it is, with the gateway's address added, and outlives the network.
  record.foreign_bridge = link.has_value();
  const NetworkRecord& added = state_->add_network(std::move(record));
  // As with docker the bridge is there at once, for whoever looks at it or writes rules for it.
  if (auto ready = state_->bring_up(added); !ready) {
    if (!added.foreign_bridge) (void)LinkRemoval{{added.bridge}}.run();
    std::string id = added.id;
    state_->pools.erase(id);
    state_->networks.erase(id);
    return std::move(ready).error();
  }
  return &added;
}

Result<LinkRemoval> Networks::remove(std::string_view name_or_id) {
  TRY(const NetworkRecord* network, find(name_or_id));
  if (network->predefined) {
    return failure(Kind::Forbidden, "{} is a pre-defined network and cannot be removed", network->name);
  }
  for (const auto& [id, other] : state_->networks) {
    if (!network->config_only || other.config_from != network->name) continue;
    return failure(Kind::Forbidden, "error while removing network: configuration network \"{}\" is in use",
                   network->name);
  }
  auto attached = endpoints(network->id);
  if (!attached.empty()) {
    return failure(Kind::Forbidden,
                   "error while removing network: network {} has active endpoints (name:\"{}\" id:\"{}\")",
                   network->name, attached.front()->container_name, attached.front()->id.substr(0, 12));
  }
  LinkRemoval removal;
  bool has_bridge = !network->bridge.empty() && !network->foreign_bridge;
  if (has_bridge && (state_->bridges.is_ready(network->bridge) || state_->routes.link(network->bridge))) {
    removal.host_links.push_back(network->bridge);
  }
  if (has_parent(network->driver)) {
    // A parent of berth's own goes with the last network that hangs on it.
    std::string parent = parent_name(*network);
    auto link = state_->routes.link(parent);
    bool is_shared = std::any_of(state_->networks.begin(), state_->networks.end(), [&](const auto& entry) {
      const NetworkRecord& other = entry.second;
      return other.id != network->id && has_parent(other.driver) && parent_name(other) == parent;
    });
    if (link && link->alias == table_name(state_->options) && !is_shared)
      removal.host_links.push_back(parent);
  }
  const std::string bridge = network->bridge;
  bool was_ready = state_->bridges.is_ready(bridge);
  state_->bridges.forget(bridge);
  std::erase_if(state_->resting, [&](const auto& one) { return one.network_id == network->id; });
  state_->pools.erase(network->id);
  state_->networks.erase(std::string(network->id));
  if (!was_ready || !state_->table_present) return removal;
  // Somebody has flushed or changed the tables: write them anew as a whole.
  if (!state_->remove_from_firewall(bridge)) CHECK(state_->rebuild_firewall());
  return removal;
}

Result<const EndpointRecord*> Networks::attach(const AttachRequest& request, sys::NetworkNamespace& netns) {
  TRY(const NetworkRecord* network, find(request.network));
  if (network->config_only)
    return Error(Kind::Forbidden, "cannot create endpoint on configuration-only network");
  for (const auto& [id, other] : state_->endpoints) {
    if (other.container_id != request.container_id || other.network_id != network->id) continue;
    return failure(Kind::Forbidden, "endpoint with name {} already exists in network {}",
                   request.container_name, network->name);
  }
  EndpointRecord endpoint;
  endpoint.id = random_id();
  endpoint.network_id = network->id;
  endpoint.container_id = request.container_id;
  endpoint.container_name = request.container_name;
  endpoint.aliases = request.aliases;
  if (!network->has_links()) {
    return &state_->endpoints.emplace(endpoint.id, std::move(endpoint)).first->second;
  }
  endpoint.interface = request.interface;
  bool bridged = network->driver == NetworkDriver::Bridge;
  if (bridged) endpoint.host_link = fmt::format("{}{}", kHostLinkPrefix, endpoint.id.substr(0, 12));
  endpoint.is_default_gateway = request.default_gateway;

  CHECK(state_->settle_subnet(state_->networks.at(network->id)));
  Rollback rollback;
  rollback.add([&] { state_->release_addresses(endpoint); });
  CHECK(state_->take_addresses(*network, request, endpoint));
  endpoint.mac = request.mac.value_or(MacAddress::random());
  endpoint.generated_mac = !request.mac;
  auto connectivity_failed = [&](Error cause) {
    return Error(
        std::move(cause).in(fmt::format("driver failed programming external connectivity on endpoint {} ({})",
                                        request.container_name, endpoint.id)));
  };
  // Ports may be asked for on the bridge's own address.
  if (bridged && !request.ports.empty()) {
    if (auto ready = state_->bring_up(*network); !ready) return std::move(ready).error();
  }
  auto held = state_->hold_ports(*network, request, endpoint);
  if (!held) return connectivity_failed(std::move(held).error());
  for (const auto& port : *held) endpoint.ports.push_back(port.port);
  rollback.add([&] {
    for (const auto& port : endpoint.ports) {
      if (!is_bound(port)) continue;
      state_->proxy.stop(port);
      state_->host_ports.release(port);
    }
  });
  if (bridged) {
    CHECK(state_->make_links(*network, endpoint, netns));
  } else {
    CHECK(state_->make_sublink(*network, endpoint, netns));
  }
  const EndpointRecord* record = &state_->endpoints.emplace(endpoint.id, endpoint).first->second;
  rollback.add([&] { state_->endpoints.erase(endpoint.id); });
  if (!endpoint.ports.empty()) {
    auto published = state_->publish(*record, *std::move(held));
    if (!published) {
      state_->unpublish(*record);
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
  state_->end_links(
      [&](const EndpointLink& link) { return link.source == endpoint_id || link.target == endpoint_id; });
  state_->announcer.cancel(found->first);
  EndpointRecord endpoint = std::move(found->second);
  state_->endpoints.erase(found);
  state_->unpublish(endpoint);
  state_->rest_addresses(endpoint);
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

void Networks::announce(std::string_view endpoint_id, int netns) {
  auto found = state_->endpoints.find(std::string(endpoint_id));
  if (found == state_->endpoints.end()) return;
  const EndpointRecord& endpoint = found->second;
  const NetworkRecord& network = state_->networks.at(endpoint.network_id);
  // Interfaces of an ipvlan network all have their parent's MAC address.
  if (!network.has_links() || network.driver == NetworkDriver::Ipvlan) return;
  sys::UniqueFd own(::fcntl(netns, F_DUPFD_CLOEXEC, 0));
  if (own) state_->announcer.begin(endpoint, announcement_schedule(network), std::move(own));
}

Result<std::vector<PublishedPort>> Networks::publish_ports(std::string_view endpoint_id,
                                                           const std::vector<PortRequest>& ports) {
  auto found = state_->endpoints.find(std::string(endpoint_id));
  if (found == state_->endpoints.end()) return failure(Kind::NotFound, "endpoint {} not found", endpoint_id);
  EndpointRecord& endpoint = found->second;
  const NetworkRecord& network = state_->networks.at(endpoint.network_id);
  if (network.driver != NetworkDriver::Bridge || !endpoint.is_default_gateway) {
    return failure(Kind::WrongState,
                   "ports are published on a bridge network that carries the default route: "
                   "network {} does not",
                   network.name);
  }
  AttachRequest request;
  request.ports = ports;
  TRY(auto held, state_->hold_ports(network, request, endpoint));
  EndpointRecord added = endpoint;
  added.ports.clear();
  for (const HeldPort& port : held) added.ports.push_back(port.port);
  size_t before = endpoint.ports.size();
  endpoint.ports.insert(endpoint.ports.end(), added.ports.begin(), added.ports.end());
  if (auto published = state_->publish(added, std::move(held)); !published) {
    endpoint.ports.resize(before);
    state_->unpublish(added);
    return std::move(published).error();
  }
  return added.ports;
}

Result<void> Networks::unpublish_ports(std::string_view endpoint_id,
                                       const std::vector<PublishedPort>& ports) {
  auto found = state_->endpoints.find(std::string(endpoint_id));
  if (found == state_->endpoints.end()) return failure(Kind::NotFound, "endpoint {} not found", endpoint_id);
  EndpointRecord removed = found->second;
  removed.ports = ports;
  std::erase_if(found->second.ports, [&](const PublishedPort& port) {
    return std::find(ports.begin(), ports.end(), port) != ports.end();
  });
  state_->unpublish(removed);
  return {};
}

Result<void> Networks::make_gateway(std::string_view endpoint_id) {
  auto found = state_->endpoints.find(std::string(endpoint_id));
  if (found == state_->endpoints.end()) return failure(Kind::NotFound, "endpoint {} not found", endpoint_id);
  for (auto& [id, endpoint] : state_->endpoints) {
    if (endpoint.container_id == found->second.container_id) endpoint.is_default_gateway = id == endpoint_id;
  }
  return {};
}

void Networks::rename_container(std::string_view container_id, std::string_view new_name) {
  for (auto& [id, endpoint] : state_->endpoints) {
    if (endpoint.container_id != container_id) continue;
    endpoint.container_name = new_name;
    state_->update_names(endpoint.network_id);
  }
}

bool Networks::needs_dns(std::string_view container_id) const {
  auto ids = state_->networks_of(container_id);
  return std::any_of(ids.begin(), ids.end(), [&](const std::string& id) { return state_->has_names(id); });
}

Result<void> Networks::serve_dns(std::string_view container_id, const sys::NetworkNamespace& netns,
                                 const std::vector<std::string>& upstream, DnsLinks links) {
  return state_->dns.serve(std::string(container_id), netns, state_->networks_of(container_id), upstream,
                           std::move(links));
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

std::vector<const NetworkRecord*> Networks::take_changed_networks() {
  std::vector<const NetworkRecord*> records;
  for (const auto& id : std::exchange(state_->changed, {})) {
    auto found = state_->networks.find(id);
    if (found != state_->networks.end()) records.push_back(&found->second);
  }
  return records;
}

std::vector<std::string> Networks::take_notices() {
  return std::exchange(state_->notices, {});
}

}  // namespace berth::network
