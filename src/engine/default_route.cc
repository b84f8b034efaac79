// Moving the default route between the networks of a running container.
#include "engine/default_route.h"

#include <linux/rtnetlink.h>

#include "engine/container_network.h"

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

}  // namespace

Result<void> settle_default_route(Core& core, const ContainerRecord& record, sys::NetworkNamespace& netns) {
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
    if (!batch.empty()) return netns.routes().run(batch);
    return {};
  }
  return {};
}

}  // namespace berth::engine
