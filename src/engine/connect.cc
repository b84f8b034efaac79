// docker network connect and disconnect: on a running container at once, else from its next start on.
#include <algorithm>

#include "base/format.h"
#include "base/log.h"
#include "engine/container_network.h"
#include "engine/core.h"
#include "engine/default_route.h"
#include "engine/endpoint_settings.h"

namespace berth::engine {
namespace {

bool has_process(const Container& container) {
  return container.run != nullptr && is_alive(container.record.state.status) &&
         container.record.state.pid > 0;
}

constexpr const char* kAlone =
    "container cannot be connected to multiple networks with one of the networks in private (none) mode";

Result<void> may_connect(const ContainerRecord& record, const network::NetworkRecord& network) {
  if (record.state.status == Status::Removing || record.state.status == Status::Dead) {
    return failure(Kind::WrongState,
                   "container {} is marked for removal and cannot be connected to a network", record.id);
  }
  if (network_place(record.host_config) != NetworkPlace::Own) {
    return Error(
        Kind::InvalidArgument,
        "container sharing network namespace with another container or host cannot be connected to any other "
        "network");
  }
  if (network.driver == network::NetworkDriver::Host) {
    return Error(Kind::InvalidArgument,
                 "cannot connect container to host network - container must be created in host network mode");
  }
  bool alone = network.driver == network::NetworkDriver::Null || record.endpoints.contains("none");
  if (alone && !record.endpoints.contains(network.name) && !record.endpoints.empty())
    return Error(Kind::InvalidArgument, kAlone);
  return {};
}

/// The first "ethN" that no endpoint of the container has.
std::string free_interface(const Core& core, const ContainerRecord& record) {
  auto endpoints = core.network->endpoints_of_container(record.id);
  for (int i = 0;; ++i) {
    std::string name = fmt::format("eth{}", i);
    bool taken = std::any_of(endpoints.begin(), endpoints.end(),
                             [&](const auto* endpoint) { return endpoint->interface == name; });
    if (!taken) return name;
  }
}

/// Whether the network is to carry the default route, and none does so far: only internal ones, or none at
/// all.
bool brings_gateway(const Core& core, const ContainerRecord& record, const std::string& network) {
  if (gateway_network(core, record) != network) return false;
  auto endpoints = core.network->endpoints_of_container(record.id);
  return std::none_of(endpoints.begin(), endpoints.end(), [](const network::EndpointRecord* endpoint) {
    return endpoint->gateway4 || endpoint->gateway6;
  });
}

/// An interface without an end on the host (macvlan, ipvlan) is deleted where it is.
void remove_inner_link(const ContainerRecord& record, const std::string& interface) {
  auto netns = sys::NetworkNamespace::open(fmt::format("/proc/{}/ns/net", record.state.pid).c_str());
  Result<void> removed;
  if (netns) {
    sys::RouteBatch batch;
    batch.delete_link(interface);
    removed = netns->routes().run(batch);
  } else {
    removed = std::move(netns).error();
  }
  if (!removed) log::warn("container {}: {}", record.short_id(), removed.error().message());
}

/// A network that is gone leaves its name with containers that did not run then.
io::Task<Result<void>> forget_network(Core& core, std::string network, std::string reference) {
  CO_TRY(ContainerHandle container, core.containers.find(reference));
  io::Mutex::Guard guard = co_await container->operation.lock();
  if (container->record.endpoints.erase(network) == 0)
    co_return failure(Kind::NotFound, "network {} not found", network);
  core.save_definition(container->record);
  co_return Result<void>();
}

}  // namespace

io::Task<Result<void>> Networks::connect(std::string network, std::string reference,
                                         spec::EndpointSettings settings) {
  CO_TRY(ContainerHandle container, core_.containers.find(reference));
  CO_TRY(const network::NetworkRecord* found, core_.network->find(network));
  std::string name = found->name;
  settings.network_id = found->id;
  CO_CHECK(check_endpoint(found, name, settings));
  io::Mutex::Guard guard = co_await container->operation.lock();
  ContainerRecord& record = container->record;
  if (container->removed) co_return failure(Kind::NotFound, "No such container: {}", reference);
  CO_CHECK(may_connect(record, *found));
  // Of a container that does not run there is nothing to be undone: the later request holds, as with docker.
  if (record.endpoints.contains(name) && has_process(*container)) {
    co_return failure(Kind::Forbidden, "endpoint with name {} already exists in network {}", record.name,
                      name);
  }
  record.endpoints.insert_or_assign(name, std::move(settings));
  if (has_process(*container)) {
    auto namespaces = sys::NetworkNamespace::open(fmt::format("/proc/{}/ns/net", record.state.pid).c_str());
    Result<std::string> attached =
        namespaces ? attach_network(core_, record, name, *namespaces, free_interface(core_, record),
                                    brings_gateway(core_, record, name))
                   : Result<std::string>(std::move(namespaces).error());
    if (!attached) {
      record.endpoints.erase(name);
      co_return std::move(attached).error();
    }
    container->run->endpoints.push_back(*attached);
    core_.network->announce(*attached, namespaces->fd());
    if (auto settled = settle_default_route(core_, record, *namespaces); !settled)
      log::warn("container {}: default route: {}", record.short_id(), settled.error().message());
    if (auto served = serve_names(core_, record, *namespaces); !served)
      log::warn("container {}: {}", record.short_id(), served.error().message());
    if (auto written = write_container_files(core_, record); !written)
      log::warn("{}", written.error().message());
    core_.save_state(record);
  }
  core_.save_definition(record);
  co_return Result<void>();
}

io::Task<Result<void>> Networks::disconnect(std::string network, std::string reference, Force force) {
  auto known = core_.network->find(network);
  if (!known && force == Force::Yes) {
    io::Task<Result<void>> forget = forget_network(core_, std::move(network), std::move(reference));
    co_return co_await std::move(forget);
  }
  if (!known) co_return std::move(known).error();
  const network::NetworkRecord* found = *known;
  std::string name = found->name;
  auto container_found = core_.containers.find(reference);
  if (!container_found && force == Force::Yes) co_return Result<void>();
  if (!container_found) co_return std::move(container_found).error();
  ContainerHandle container = *container_found;
  io::Mutex::Guard guard = co_await container->operation.lock();
  ContainerRecord& record = container->record;
  auto endpoint = record.endpoints.find(name);
  if (endpoint == record.endpoints.end()) {
    co_return failure(Kind::Forbidden, "container {} is not connected to network {}", record.id, name);
  }
  if (!found->has_links()) {
    bool host = found->driver == network::NetworkDriver::Host;
    co_return failure(host ? Kind::InvalidArgument : Kind::Forbidden,
                      "cannot disconnect container from {0} network - container was created in {0} network "
                      "mode",
                      name);
  }
  std::string id = endpoint->second.endpoint_id;
  network::LinkRemoval removed;
  if (has_process(*container) && !id.empty()) {
    spec::PortMap ports = record.ports;
    bool published = false;
    for (const network::EndpointRecord* other : core_.network->endpoints_of_container(record.id)) {
      if (other->id == id) published = other->is_default_gateway;
    }
    for (const network::EndpointRecord* other : core_.network->endpoints_of_container(record.id)) {
      bool inside_only = other->id == id && other->host_link.empty();
      if (inside_only) remove_inner_link(record, other->interface);
    }
    network::LinkRemoval removal = detach_networks(core_, record, {id});
    if (!published) record.ports = std::move(ports);  // those of another endpoint stay
    std::erase(container->run->endpoints, id);
    removed = std::move(removal);
  }
  record.endpoints.erase(name);
  if (has_process(*container)) {
    auto namespaces = sys::NetworkNamespace::open(fmt::format("/proc/{}/ns/net", record.state.pid).c_str());
    auto settled = namespaces ? settle_default_route(core_, record, *namespaces)
                              : Result<void>(std::move(namespaces).error());
    if (!settled) log::warn("container {}: default route: {}", record.short_id(), settled.error().message());
    if (auto written = write_container_files(core_, record); !written)
      log::warn("{}", written.error().message());
    core_.save_state(record);
  }
  core_.save_definition(record);
  // The next connection may want the name of the interface.
  io::Task<void> gone = run_removal(core_, std::move(removed));
  co_await std::move(gone);
  co_return Result<void>();
}

}  // namespace berth::engine
