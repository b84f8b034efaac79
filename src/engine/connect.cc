// docker network connect and disconnect: on a running container at once, else from its next start on.
#include <algorithm>

#include "base/format.h"
#include "base/log.h"
#include "engine/container_network.h"
#include "engine/core.h"
#include "engine/default_route.h"

namespace berth::engine {
namespace {

bool has_process(const Container& container) {
  return container.run != nullptr && is_alive(container.record.state.status) &&
         container.record.state.pid > 0;
}

Result<void> may_connect(const ContainerRecord& record) {
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

io::Task<void> run_removal(Core& core, network::LinkRemoval removal) {
  auto work = [removal] { return removal.run(); };
  auto removed = co_await core.loop.on_worker(work);
  if (!removed) log::warn("{}", removed.error().message());
}

}  // namespace

io::Task<Result<void>> Networks::connect(std::string network, std::string reference,
                                         spec::EndpointSettings settings) {
  CO_TRY(ContainerHandle container, core_.containers.find(reference));
  CO_TRY(const network::NetworkRecord* found, core_.network->find(network));
  std::string name = found->name;
  settings.network_id = found->id;
  if (!found->has_links()) {
    co_return failure(Kind::Forbidden, "container cannot be connected to host or none networks: \"{}\"",
                      name);
  }
  io::Mutex::Guard guard = co_await container->operation.lock();
  ContainerRecord& record = container->record;
  if (container->removed) co_return failure(Kind::NotFound, "No such container: {}", reference);
  CO_CHECK(may_connect(record));
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
                                    record.endpoints.size() == 1)
                   : Result<std::string>(std::move(namespaces).error());
    if (!attached) {
      record.endpoints.erase(name);
      co_return std::move(attached).error();
    }
    container->run->endpoints.push_back(*attached);
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
  CO_TRY(const network::NetworkRecord* found, core_.network->find(network));
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
    co_return failure(Kind::Forbidden,
                      "container cannot be disconnected from host network or none network: \"{}\"", name);
  }
  std::string id = endpoint->second.endpoint_id;
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
    core_.in_background(run_removal(core_, std::move(removal)));
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
  co_return Result<void>();
}

}  // namespace berth::engine
