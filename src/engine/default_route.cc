// Moving the default route, and the published ports with it, between the networks of a running container.
#include "engine/default_route.h"

#include <linux/rtnetlink.h>

#include "base/log.h"
#include "engine/container_network.h"
#include "engine/container_ports.h"

namespace berth::engine {
namespace {

/// In the main table there is one default route of each family at most: those that were made here.
void add_default(const std::vector<sys::Route>& present, const sys::IpAddress& gateway, uint32_t link,
                 sys::RouteBatch& batch) {
  const sys::IpPrefix everywhere{sys::IpAddress::any(gateway.family()), 0};
  for (const sys::Route& route : present) {
    if (route.destination != everywhere || route.table != RT_TABLE_MAIN || !route.gateway) continue;
    if (route.gateway == gateway && route.link == link) return;
    batch.delete_route({.destination = everywhere, .gateway = route.gateway, .link = route.link});
  }
  batch.add_route({.destination = everywhere, .gateway = gateway, .link = link});
}

/// The endpoint of the container that ports are published on so far; nullptr: none.
const network::EndpointRecord* publishing(const Core& core, const ContainerRecord& record) {
  for (const network::EndpointRecord* endpoint : core.network->endpoints_of_container(record.id)) {
    if (endpoint->is_default_gateway) return endpoint;
  }
  return nullptr;
}

bool takes_ports(const Core& core, const network::EndpointRecord& endpoint) {
  auto network = core.network->find(endpoint.network_id);
  return network && (*network)->driver == network::NetworkDriver::Bridge && !(*network)->internal;
}

/// From where they are to where the default route is. A port that was asked for by its number keeps it; for
/// the others a new one is found, as docker does.
Result<void> move_ports(Core& core, ContainerRecord& record, const network::EndpointRecord& gateway) {
  const std::string id = gateway.id;
  if (gateway.is_default_gateway) return core.network->make_gateway(id);
  if (const network::EndpointRecord* before = publishing(core, record)) {
    const std::vector<network::PublishedPort> ended = before->ports;
    CHECK(core.network->unpublish_ports(before->id, ended));
  }
  CHECK(core.network->make_gateway(id));
  Result<void> published;
  if (takes_ports(core, gateway)) {
    TRY(auto wanted, port_requests(record.config, record.host_config));
    if (auto done =
            wanted.empty() ? std::vector<network::PublishedPort>() : core.network->publish_ports(id, wanted);
        !done)
      published = std::move(done).error();
  }
  record.ports = published_ports(record.config, gateway.ports);
  for (const network::EndpointRecord* endpoint : core.network->endpoints_of_container(record.id)) {
    CHECK(core.records->save_endpoint(*endpoint));
  }
  return published;
}

}  // namespace

Result<void> settle_default_route(Core& core, ContainerRecord& record, sys::NetworkNamespace& netns) {
  const std::string wanted = gateway_network(core, record);
  auto settings = record.endpoints.find(wanted);
  if (settings == record.endpoints.end()) return {};
  for (const network::EndpointRecord* endpoint : core.network->endpoints_of_container(record.id)) {
    if (endpoint->id != settings->second.endpoint_id) continue;
    TRY(sys::Link link, netns.routes().link(endpoint->interface));
    TRY(auto present, netns.routes().routes());
    sys::RouteBatch batch;
    for (const auto& gateway : {endpoint->gateway4, endpoint->gateway6}) {
      if (gateway) add_default(present, *gateway, link.index, batch);
    }
    if (!batch.empty()) CHECK(netns.routes().run(batch));
    return move_ports(core, record, *endpoint);
  }
  return {};
}

}  // namespace berth::engine
