// Changes of a running container that need no restart: published ports, mounts; and its environment, for the
// next start. What is done is also kept, so that the next start finds it.
#include <algorithm>

#include "base/format.h"
#include "base/id.h"
#include "base/log.h"
#include "engine/container_network.h"
#include "engine/container_ports.h"
#include "engine/lifecycle.h"
#include "engine/mount_points.h"
#include "engine/mount_sources.h"
#include "engine/paths.h"
#include "sys/live_mount.h"

namespace berth::engine {
namespace {

bool has_process(const Container& container) {
  return container.run != nullptr && container.run->keeper && is_alive(container.record.state.status) &&
         container.record.state.pid > 0;
}

// --- ports
// ----------------------------------------------------------------------------------------------------

/// "8080" and "0.0.0.0" of a binding, where they are given.
bool fits(const spec::PortBinding& wanted, std::string_view host_ip, std::string_view host_port) {
  return (wanted.host_port.empty() || wanted.host_port == host_port) &&
         (wanted.host_ip.empty() || wanted.host_ip == host_ip);
}

bool is_named(const spec::PortMap& unpublish, const std::string& port, std::string_view host_ip,
              std::string_view host_port) {
  auto found = unpublish.find(port);
  if (found == unpublish.end()) return false;
  const auto& wanted = found->second;
  return wanted.empty() || std::any_of(wanted.begin(), wanted.end(), [&](const spec::PortBinding& binding) {
           return fits(binding, host_ip, host_port);
         });
}

std::string port_name(const network::PublishedPort& port) {
  return fmt::format("{}/{}", port.container_port, network::to_string(port.protocol));
}

const network::EndpointRecord* publishing_endpoint(Core& core, const ContainerRecord& record) {
  for (const network::EndpointRecord* endpoint : core.network->endpoints_of_container(record.id)) {
    if (endpoint->is_default_gateway) return endpoint;
  }
  return nullptr;
}

Result<void> check_unpublish(const spec::PortMap& bindings, const spec::PortMap& unpublish,
                             const ContainerRecord& record) {
  for (const auto& [port, wanted] : unpublish) {
    auto found = bindings.find(port);
    bool known =
        found != bindings.end() && !found->second.empty() &&
        std::any_of(found->second.begin(), found->second.end(), [&](const spec::PortBinding& binding) {
          return is_named(unpublish, port, binding.host_ip, binding.host_port);
        });
    if (!known)
      return failure(Kind::InvalidArgument, "container {} does not publish port {}", record.name, port);
  }
  return {};
}

/// What is asked for at the next start.
void change_bindings(spec::PortMap& bindings, const LiveUpdate& change) {
  for (auto& [port, list] : bindings) {
    std::erase_if(list, [&, name = port](const spec::PortBinding& binding) {
      return is_named(change.unpublish, name, binding.host_ip, binding.host_port);
    });
  }
  // A binding that asked for any port names none: it goes with the last that is in force.
  for (const auto& [port, wanted] : change.unpublish) {
    auto found = bindings.find(port);
    if (found == bindings.end()) continue;
    std::erase_if(found->second, [](const spec::PortBinding& binding) { return binding.host_port.empty(); });
  }
  std::erase_if(bindings, [](const auto& entry) { return entry.second.empty(); });
  for (const auto& [port, list] : change.publish) {
    auto& own = bindings[port];
    own.insert(own.end(), list.begin(), list.end());
  }
}

Result<void> change_published(Core& core, ContainerRecord& record, const LiveUpdate& change,
                              const std::vector<network::PortRequest>& wanted) {
  const network::EndpointRecord* endpoint = publishing_endpoint(core, record);
  if (endpoint == nullptr) {
    return failure(Kind::WrongState, "container {} is on no network that ports can be published on",
                   record.name);
  }
  std::string id = endpoint->id;
  std::vector<network::PublishedPort> ended;
  for (const network::PublishedPort& port : endpoint->ports) {
    std::string host_port = fmt::to_string(port.host_port);
    if (is_named(change.unpublish, port_name(port), port.host_ip.to_string(), host_port))
      ended.push_back(port);
  }
  CHECK(core.network->unpublish_ports(id, ended));
  auto published = core.network->publish_ports(id, wanted);
  if (!published && !ended.empty()) {
    std::vector<network::PortRequest> again;
    for (const auto& port : ended)
      again.push_back({port.protocol, port.container_port, port.host_ip, port.host_port, port.host_port});
    if (auto restored = core.network->publish_ports(id, again); !restored)
      log::warn("container {}: {}", record.short_id(), restored.error().message());
  }
  endpoint = publishing_endpoint(core, record);
  record.ports = published_ports(record.config, endpoint->ports);
  CHECK(core.records->save_endpoint(*endpoint));
  if (!published) return std::move(published).error();
  return {};
}

Result<void> change_ports(Core& core, Container& container, const LiveUpdate& change) {
  if (change.publish.empty() && change.unpublish.empty()) return {};
  ContainerRecord& record = container.record;
  if (network_place(record.host_config) != NetworkPlace::Own) {
    return failure(Kind::InvalidArgument, "container {} has no network of its own: its ports are those of {}",
                   record.name, record.host_config.network_mode);
  }
  TRY(auto wanted, port_requests(change.publish));
  bool runs = has_process(container);
  CHECK(check_unpublish(runs ? record.ports : record.host_config.port_bindings, change.unpublish, record));
  for (const auto& [port, bindings] : change.publish) record.config.exposed_ports.insert(port);
  if (runs) CHECK(change_published(core, record, change, wanted));
  change_bindings(record.host_config.port_bindings, change);
  return {};
}

// --- mounts
// ---------------------------------------------------------------------------------------------------

bool is_mounted(const ContainerRecord& record, const std::string& destination) {
  return std::any_of(record.mounts.begin(), record.mounts.end(),
                     [&](const MountPoint& mount) { return mount.destination == destination; }) ||
         std::any_of(record.host_config.tmpfs.begin(), record.host_config.tmpfs.end(),
                     [&](const auto& entry) { return clean_path(entry.first) == destination; });
}

void forget_mount(ContainerRecord& record, const std::string& destination) {
  spec::HostConfig& host = record.host_config;
  std::erase_if(record.mounts, [&](const MountPoint& mount) { return mount.destination == destination; });
  std::erase_if(host.tmpfs, [&](const auto& entry) { return clean_path(entry.first) == destination; });
  std::erase_if(host.mounts,
                [&](const spec::MountRequest& mount) { return clean_path(mount.target) == destination; });
  std::erase_if(host.binds, [&](const std::string& bind) {
    auto parsed = parse_bind(bind, host.volume_driver);
    return parsed && parsed->destination == destination;
  });
}

io::Task<Result<void>> remove_mount(Core& core, ContainerHandle container, std::string path) {
  ContainerRecord& record = container->record;
  std::string destination = clean_path(path);
  if (!is_mounted(record, destination))
    co_return failure(Kind::InvalidArgument, "container {} has no mount at {}", record.name, destination);
  if (has_process(*container)) {
    int program = core.keeper_program->fd();
    int pid = record.state.pid;
    auto work = [program, pid, &destination] { return sys::detach_in_namespace(program, pid, destination); };
    auto detached = co_await core.loop.on_worker(work);
    if (!detached) co_return std::move(detached).error().in("container", record.name);
  }
  forget_mount(record, destination);
  co_return Result<void>();
}

Result<sys::UniqueFd> detached_tree(const MountPoint& mount) {
  if (mount.type == spec::MountType::Tmpfs) {
    std::vector<std::string> options = mount.tmpfs_options;
    if (!mount.read_write) options.emplace_back("ro");
    return sys::make_detached_tmpfs(options);
  }
  return sys::clone_bind({.source = mount.source,
                          .recursive = !mount.non_recursive,
                          .read_only = !mount.read_write,
                          .read_only_recursive = mount.read_only_recursive});
}

/// What the mount is made of, looked up as a start does it, and put in place.
io::Task<Result<void>> attach_mount(Core& core, const ContainerRecord& record, const MountPoint& mount) {
  if (mount.type == spec::MountType::Image) {
    co_return Error(
        Kind::Unsupported,
        "a mount of type image is made at the start of a container: it cannot be added to one that runs");
  }
  MountSourceInputs inputs;
  if (auto volume = core.volumes.find(mount.name); volume != core.volumes.end())
    inputs.volumes.emplace(mount.name, volume->second);
  int program = core.keeper_program->fd();
  int pid = record.state.pid;
  std::vector<MountPoint> list = {mount};
  auto work = [&]() -> Result<void> {
    TRY(ResolvedMounts resolved, resolve_mount_sources(list, inputs));
    const MountPoint& ready = resolved.mounts.front();
    if (!ready.filesystem.empty() && ready.type != spec::MountType::Tmpfs) {
      return failure(Kind::Unsupported,
                     "volume {} is a mount of its own kind ({}): it cannot be added to a running "
                     "container",
                     ready.name, ready.filesystem);
    }
    TRY(sys::UniqueFd tree, detached_tree(ready));
    return sys::attach_in_namespace(program, pid, tree, ready.destination);
  };
  co_return co_await core.loop.on_worker(work);
}

io::Task<Result<void>> add_mount(Core& core, ContainerHandle container, spec::MountRequest request) {
  ContainerRecord& record = container->record;
  CO_TRY(MountPoint mount, resolve_mount(request));
  if (is_mounted(record, mount.destination))
    co_return failure(Kind::InvalidArgument, "Duplicate mount point: {}", mount.destination);
  if (mount.type == spec::MountType::Volume && mount.name.empty()) {
    mount.name = random_id();
    request.source = mount.name;
  }
  ContainerRecord part = record;
  part.mounts = {mount};
  part.host_config.mounts = {request};
  io::Task<Result<void>> volumes = make_volumes(core, part);
  CO_CHECK(co_await std::move(volumes));
  mount = part.mounts.front();
  if (has_process(*container)) {
    io::Task<Result<void>> attaching = attach_mount(core, record, mount);
    CO_CHECK(co_await std::move(attaching));
    publish_volumes(core, part, "mount");
  }
  record.mounts.push_back(std::move(mount));
  record.host_config.mounts.push_back(std::move(request));
  co_return Result<void>();
}

// --- environment
// ----------------------------------------------------------------------------------------------

Result<void> change_environment(spec::StringList& environment, const std::vector<std::string>& changes) {
  for (const std::string& change : changes) {
    size_t equals = change.find('=');
    std::string name = change.substr(0, equals);
    if (name.empty() || change.find('\0') != std::string::npos)
      return failure(Kind::InvalidArgument, "invalid environment variable: {}", change.substr(0, 64));
    std::erase_if(environment,
                  [&](const std::string& entry) { return entry.substr(0, entry.find('=')) == name; });
    if (equals != std::string::npos) environment.push_back(change);
  }
  return {};
}

io::Task<Result<std::vector<std::string>>> change_container(Core& core, ContainerHandle container,
                                                            LiveUpdate change) {
  io::Mutex::Guard guard = co_await container->operation.lock();
  ContainerRecord& record = container->record;
  if (container->removed) co_return failure(Kind::NotFound, "No such container: {}", record.name);
  CO_CHECK(change_environment(record.config.env, change.env));
  CO_CHECK(change_ports(core, *container, change));
  core.save_definition(record);
  core.save_state(record);
  Result<void> mounted;
  for (const std::string& path : change.unmount) {
    io::Task<Result<void>> removing = remove_mount(core, container, path);
    if (mounted) mounted = co_await std::move(removing);
  }
  for (const spec::MountRequest& request : change.mounts) {
    io::Task<Result<void>> adding = add_mount(core, container, request);
    if (mounted) mounted = co_await std::move(adding);
  }
  core.save_definition(record);
  if (!mounted) co_return std::move(mounted).error();
  core.publish(record, "update");
  std::vector<std::string> said;
  if (!change.env.empty() && has_process(*container)) {
    said.push_back(
        fmt::format("{}: the environment of a running program does not change: the new one counts from the "
                    "next start on",
                    record.name));
  }
  co_return said;
}

}  // namespace

io::Task<Result<std::vector<std::string>>> Containers::update_live(std::string reference, LiveUpdate change) {
  CO_TRY(ContainerHandle container, core_.containers.find(reference));
  io::Task<Result<std::vector<std::string>>> work = change_container(core_, container, std::move(change));
  co_return co_await core_.run_to_end(std::move(work));
}

}  // namespace berth::engine
