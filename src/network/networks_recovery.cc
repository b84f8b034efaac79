// Taking over what an earlier daemon left, and leaving nothing behind.
#include <algorithm>

#include "base/format.h"
#include "network/default_network.h"
#include "network/networks.h"
#include "network/networks_state.h"
#include "network/parent_link.h"

namespace berth::network {
namespace {

bool is_attached(const EndpointRecord& endpoint) {
  return !endpoint.host_link.empty();
}

}  // namespace

/// One recovery's work: each step brings one aspect of the kernel in line with the records.
class NetworkRecovery {
 public:
  explicit NetworkRecovery(Networks::State& state) : state_(state) {}

  Result<Recovery> run(std::vector<NetworkRecord> networks, std::vector<EndpointRecord> endpoints) {
    for (auto& network : networks) state_.add_network(std::move(network));
    for (auto& endpoint : endpoints) adopt(std::move(endpoint));
    CHECK(add_predefined());
    TRY(links_, state_.routes.links());
    CHECK(adopt_bridges());
    CHECK(adopt_ports());
    for (const auto& [id, network] : state_.networks) state_.update_names(id);
    find_stale_links();
    find_stale_bridges();
    CHECK(settle_firewall());
    return std::move(recovery_);
  }

 private:
  void said(std::string sentence) { recovery_.repairs.push_back(std::move(sentence)); }

  const sys::Link* link(std::string_view name) const {
    auto found =
        std::find_if(links_.begin(), links_.end(), [&](const auto& link) { return link.name == name; });
    return found == links_.end() ? nullptr : &*found;
  }

  bool has_endpoints(const std::string& network_id) const {
    return std::any_of(state_.endpoints.begin(), state_.endpoints.end(),
                       [&](const auto& entry) { return entry.second.network_id == network_id; });
  }

  void adopt(EndpointRecord endpoint) {
    if (!state_.networks.contains(endpoint.network_id)) {
      said(fmt::format("endpoint {} of container {} is on a network that is gone", endpoint.id.substr(0, 12),
                       endpoint.container_name));
      return;
    }
    for (const auto& address : {endpoint.ipv4, endpoint.ipv6}) {
      if (!address) continue;
      AddressPool* pool = state_.pool_of(endpoint.network_id, address->address);
      auto claimed = pool != nullptr ? pool->claim(address->address)
                                     : Result<void>(Error(Kind::NotFound, "the network has no such subnet"));
      if (!claimed) {
        said(fmt::format("address {} of container {}: {}", address->to_string(), endpoint.container_name,
                         claimed.error().message()));
      }
    }
    std::string id = endpoint.id;
    state_.endpoints.insert_or_assign(std::move(id), std::move(endpoint));
  }

  const NetworkRecord* predefined(NetworkDriver driver) const {
    for (const auto& [id, network] : state_.networks) {
      if (network.predefined && network.driver == driver) return &network;
    }
    return nullptr;
  }

  /// Whether the pool is another one than the options ask for. A subnet that was found by berth stays.
  static bool differs(const IpamPool& pool, const std::optional<IpPrefix>& bip,
                      const std::optional<IpPrefix>& range) {
    if (!bip && !range) return pool.range.has_value();
    auto wanted = plan_default_pool(bip, range);
    if (!wanted) return true;  // whose planning will say why not
    bool names_gateway = bip && bip->address != wanted->subnet.address;
    return pool.subnet != wanted->subnet || pool.range != wanted->range ||
           (names_gateway && pool.gateway != wanted->gateway);
  }

  /// Whether the default network has to be planned anew: other settings, or a subnet that the host has come
  /// to route elsewhere. Never under a running container.
  bool is_outdated(const NetworkRecord& network, const Surroundings& surroundings) const {
    if (has_endpoints(network.id)) return false;
    const IpamPool* pool4 = network.pool(IpFamily::V4);
    const IpamPool* pool6 = network.pool(IpFamily::V6);
    const NetworkOptions& options = state_.options;
    if (network.bridge != default_bridge_name(options) || pool4 == nullptr) return true;
    if (differs(*pool4, options.bridge_subnet4, options.bridge_range4)) return true;
    if ((options.enable_ipv6 && state_.ipv6) != (pool6 != nullptr)) return true;
    if (pool6 != nullptr && differs(*pool6, options.bridge_subnet6, options.bridge_range6)) return true;
    if (option_is_on(network, kOptionInterContainer, true) != options.inter_container) return true;
    if (option_is_on(network, kOptionMasquerade, true) != options.masquerade) return true;
    for (const IpamPool& pool : network.pools) {
      IpamPool wanted = pool;
      wanted.auxiliary.clear();
      if (!add_default_gateway(options, wanted) || wanted.auxiliary != pool.auxiliary) return true;
    }
    return !options.bridge_subnet4 && !options.bridge_range4 &&
           std::any_of(surroundings.routes.begin(), surroundings.routes.end(),
                       [&](const IpPrefix& route) { return route.overlaps(pool4->subnet); });
  }

  Result<void> add_predefined() {
    TRY(Surroundings surroundings, state_.surroundings());
    const NetworkRecord* bridge = predefined(NetworkDriver::Bridge);
    if (!state_.options.default_network) {
      if (bridge != nullptr) CHECK(remove_default(*bridge));
    } else if (bridge == nullptr || is_outdated(*bridge, surroundings)) {
      std::erase(surroundings.networks, bridge);
      TRY(NetworkRecord planned, plan_default_network(state_.options, surroundings));
      if (state_.makes_given_bridge) planned.foreign_bridge = false;
      if (bridge != nullptr) {
        said(fmt::format("network bridge moves from {} to {}", bridge->pools.front().subnet.to_string(),
                         planned.pools.front().subnet.to_string()));
        planned.id = bridge->id;
        planned.created = bridge->created;
        if (!bridge->foreign_bridge && !keeps_bridge(*bridge)) CHECK(remove_bridge_link(bridge->bridge));
      }
      state_.add_network(std::move(planned));
    } else {
      show_gateways(state_.networks.at(bridge->id));
    }
    for (NetworkDriver driver : {NetworkDriver::Host, NetworkDriver::Null}) {
      if (predefined(driver) == nullptr) state_.add_network(plan_predefined(driver));
    }
    return {};
  }

  /// A gateway that has followed from a range is the bridge's own address by now.
  void show_gateways(NetworkRecord& bridge) const {
    for (IpamPool& pool : bridge.pools) {
      bool is_v4 = pool.subnet.family() == IpFamily::V4;
      if (is_v4 ? state_.options.bridge_subnet4 : state_.options.bridge_subnet6) pool.implied_gateway = false;
    }
  }

  /// --bridge none. Containers that run on it keep it until they have ended.
  Result<void> remove_default(const NetworkRecord& bridge) {
    if (has_endpoints(bridge.id)) return {};
    if (!bridge.foreign_bridge && !keeps_bridge(bridge)) CHECK(remove_bridge_link(bridge.bridge));
    std::string id = bridge.id;
    state_.pools.erase(id);
    state_.networks.erase(id);
    return {};
  }

  Result<void> remove_bridge_link(const std::string& name) {
    sys::RouteBatch batch;
    batch.delete_link(name);
    auto removed = state_.routes.run(batch);
    if (!removed && removed.error().kind() != Kind::NotFound) return removed;
    return {};
  }

  /// Every network's bridge is there from now on. One that cannot be does not keep the engine from starting
  /// while no container needs it: the next one that joins tries again.
  Result<void> adopt_bridges() {
    for (auto& [id, network] : state_.networks) {
      if (has_parent(network.driver)) {
        auto made = ensure_parent(state_.routes, network, table_name(state_.options));
        if (!made) said(made.error().message());
      }
      if (network.driver != NetworkDriver::Bridge) continue;
      auto adopted = adopt_bridge(network);
      if (adopted) continue;
      if (has_endpoints(id)) return adopted;
      said(fmt::format("bridge {} of network {}: {}", network.bridge, network.name,
                       adopted.error().message()));
    }
    return {};
  }

  Result<void> adopt_bridge(NetworkRecord& network) {
    bool present = link(network.bridge) != nullptr;
    if (!present) CHECK(state_.settle_subnet(network));
    TRY(uint32_t index, state_.bridges.ensure(network, state_.wanted_mtu(network)));
    state_.note_mtu(network);
    CHECK(state_.ensure_forwarding(network));
    if (!present && has_endpoints(network.id))
      said(fmt::format("bridge {} of network {} was gone and is made anew", network.bridge, network.name));
    TRY(auto restored, state_.restore_ports(network, index));
    for (auto& sentence : restored) said(std::move(sentence));
    return {};
  }

  Result<void> adopt_ports() {
    for (const auto& [id, endpoint] : state_.endpoints) {
      for (const auto& port : endpoint.ports) {
        if (!is_bound(port)) continue;
        auto held = state_.host_ports.hold_again(port);
        if (!held) {
          // Redirection by nf_tables goes on; only the reservation is lost.
          said(fmt::format("published port of container {}: {}", endpoint.container_name,
                           held.error().message()));
          continue;
        }
        CHECK(state_.proxy.serve(*std::move(held), target_of(endpoint, port)));
      }
    }
    if (PortBinder* binder = port_binder()) binder->settle();
    return {};
  }

  /// Ports of our bridges with our prefix that no container has: the daemon died between making and recording
  /// them, or their container ended meanwhile.
  void find_stale_links() {
    std::set<std::string> known;
    for (const auto& [id, endpoint] : state_.endpoints) known.insert(endpoint.host_link);
    std::set<uint32_t> own_bridges;
    for (const auto& [id, network] : state_.networks) {
      const sys::Link* bridge = network.bridge.empty() ? nullptr : link(network.bridge);
      if (bridge != nullptr) own_bridges.insert(bridge->index);
    }
    for (const auto& candidate : links_) {
      if (!own_bridges.contains(candidate.master) || candidate.kind != "veth") continue;
      if (!candidate.name.starts_with(kHostLinkPrefix) || known.contains(candidate.name)) continue;
      said(fmt::format("link {} belongs to no container and is removed", candidate.name));
      recovery_.stale.host_links.push_back(candidate.name);
    }
  }

  /// Bridges and parents of interfaces that an earlier daemon made and did not come to record.
  void find_stale_bridges() {
    std::set<std::string, std::less<>> known;
    for (const auto& [id, network] : state_.networks)
      known.insert(has_parent(network.driver) ? parent_name(network) : network.bridge);
    std::string owner = table_name(state_.options);
    for (const auto& candidate : links_) {
      if (candidate.alias != owner || known.contains(candidate.name)) continue;
      said(fmt::format("{} {} belongs to no network and is removed", candidate.kind, candidate.name));
      recovery_.stale.host_links.push_back(candidate.name);
    }
  }

  Result<void> settle_firewall() {
    bool any_ready = std::any_of(state_.networks.begin(), state_.networks.end(), [&](const auto& entry) {
      return state_.bridges.is_ready(entry.second.bridge);
    });
    if (!any_ready) return state_.remove_firewall({IpFamily::V4, IpFamily::V6});
    std::vector<IpFamily> gone;
    for (IpFamily family : {IpFamily::V4, IpFamily::V6}) {
      if (!state_.firewall_families().has(family)) gone.push_back(family);
    }
    // A kernel without nf_tables has nothing to be removed.
    if (auto removed = state_.remove_firewall(gone); !removed) said(removed.error().message());
    auto built = state_.rebuild_firewall();
    if (built || !state_.endpoints.empty()) return built;
    // A host without nf_tables still runs containers that need no network.
    said(fmt::format("firewall: {}", built.error().message()));
    for (const auto& [id, network] : state_.networks) state_.bridges.forget(network.bridge);
    return {};
  }

  Networks::State& state_;
  std::vector<sys::Link> links_;
  Recovery recovery_;
};

Result<Recovery> Networks::recover(std::vector<NetworkRecord> networks,
                                   std::vector<EndpointRecord> endpoints) {
  return NetworkRecovery(*state_).run(std::move(networks), std::move(endpoints));
}

Result<void> Networks::shut_down() {
  for (const auto& [id, endpoint] : state_->endpoints) {
    if (is_attached(endpoint)) {
      return failure(Kind::WrongState, "container {} is still attached to a network",
                     endpoint.container_name);
    }
  }
  LinkRemoval removal;
  for (const auto& [id, network] : state_->networks) {
    if (!state_->bridges.is_ready(network.bridge)) continue;
    state_->bridges.forget(network.bridge);
    if (network.foreign_bridge || keeps_bridge(network)) continue;
    removal.host_links.push_back(network.bridge);
  }
  TRY(auto all, state_->routes.links());
  for (const auto& link : all) {
    if (link.kind != "bridge" && link.alias == table_name(state_->options))
      removal.host_links.push_back(link.name);
  }
  auto links = removal.run();
  CHECK(state_->remove_firewall({IpFamily::V4, IpFamily::V6}));
  state_->table_present = false;
  return links;
}

}  // namespace berth::network
