// What Networks does about links: containers that reach ports of others on a network where nobody reaches
// anybody else.
#include <algorithm>

#include "base/format.h"
#include "network/networks_state.h"

namespace berth::network {

std::vector<LinkedPort> Networks::State::linked_ports(const EndpointLink& link) const {
  const EndpointRecord& source = endpoints.at(link.source);
  const EndpointRecord& target = endpoints.at(link.target);
  std::vector<LinkedPort> ports;
  for (auto address : {&EndpointRecord::ipv4, &EndpointRecord::ipv6}) {
    const std::optional<IpPrefix>& from = source.*address;
    const std::optional<IpPrefix>& to = target.*address;
    if (!from || !to) continue;
    for (const ExposedPort& port : link.ports)
      ports.push_back({port.protocol, from->address, to->address, port.port});
  }
  return ports;
}

Result<void> Networks::State::settle_linked_neighbours(const NetworkRecord& network) {
  if (!bridges.is_ready(network.bridge)) return {};
  std::set<IpAddress> linked;
  for (const EndpointLink& link : links) {
    for (const std::string& id : {link.source, link.target}) {
      const EndpointRecord& endpoint = endpoints.at(id);
      if (endpoint.network_id != network.id) continue;
      // Without its table nothing would keep the others of the family from being reached too.
      if (endpoint.ipv4 && options.firewall4) linked.insert(endpoint.ipv4->address);
      if (endpoint.ipv6 && options.firewall6) linked.insert(endpoint.ipv6->address);
    }
  }
  return bridges.answer_for(network.bridge, linked);
}

const EndpointRecord* Networks::State::endpoint_of(std::string_view container_id,
                                                   std::string_view network_id) const {
  for (const auto& [id, endpoint] : endpoints) {
    if (endpoint.container_id == container_id && endpoint.network_id == network_id) return &endpoint;
  }
  return nullptr;
}

void Networks::State::end_links(const std::function<bool(const EndpointLink&)>& ends) {
  auto gone = std::stable_partition(links.begin(), links.end(),
                                    [&](const EndpointLink& link) { return !ends(link); });
  if (gone == links.end()) return;
  PublishedRules rules;
  std::set<std::string> networks_of_them;
  for (auto link = gone; link != links.end(); ++link) {
    auto ports = linked_ports(*link);
    rules.linked.insert(rules.linked.end(), ports.begin(), ports.end());
    networks_of_them.insert(endpoints.at(link->source).network_id);
  }
  links.erase(gone, links.end());
  if (!nft.commit(plan_unpublish(table_name(options), rules, firewall_families()))) {
    // Elements that are gone already; the rest must not stay.
    auto rebuilt = rebuild_firewall();
    if (!rebuilt) notices.push_back(fmt::format("firewall: {}", rebuilt.error().message()));
  }
  for (const std::string& id : networks_of_them) {
    auto settled = settle_linked_neighbours(networks.at(id));
    if (!settled) notices.push_back(fmt::format("links: {}", settled.error().message()));
  }
}

Result<void> Networks::open_link(const ContainerLink& link) {
  TRY(const NetworkRecord* network, find(link.network));
  if (!is_closed(*network)) return {};
  const EndpointRecord* source = state_->endpoint_of(link.source, network->id);
  const EndpointRecord* target = state_->endpoint_of(link.target, network->id);
  if (source == nullptr || target == nullptr || source == target) return {};
  close_link(link.network, link.source, link.target);
  EndpointLink opened{.source = source->id, .target = target->id, .ports = link.ports};
  std::sort(opened.ports.begin(), opened.ports.end());
  opened.ports.erase(std::unique(opened.ports.begin(), opened.ports.end()), opened.ports.end());
  state_->links.push_back(opened);
  CHECK(state_->settle_linked_neighbours(*network));
  PublishedRules rules{.linked = state_->linked_ports(opened)};
  auto published =
      state_->nft.commit(plan_publish(table_name(state_->options), rules, state_->firewall_families()));
  // Somebody flushed or changed the tables: write them anew as a whole.
  if (!published) CHECK(state_->rebuild_firewall());
  return {};
}

void Networks::close_link(std::string_view network, std::string_view source, std::string_view target) {
  auto found = find(network);
  if (!found) return;
  const EndpointRecord* from = state_->endpoint_of(source, (*found)->id);
  const EndpointRecord* to = state_->endpoint_of(target, (*found)->id);
  if (from == nullptr || to == nullptr) return;
  state_->end_links(
      [&](const EndpointLink& link) { return link.source == from->id && link.target == to->id; });
}

}  // namespace berth::network
