// Starting a container: from its record to a running process, or back to where it was. What can block (bind
// sources on slow filesystems) is looked at on a worker; everything else is system calls of microseconds.
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include "base/format.h"
#include "base/log.h"
#include "engine/checkpoint_record.h"
#include "engine/container_limits.h"
#include "engine/container_network.h"
#include "engine/device_requests.h"
#include "engine/lifecycle.h"
#include "engine/links.h"
#include "engine/memory_volumes.h"
#include "engine/mount_id_map.h"
#include "engine/mount_sources.h"
#include "engine/plan_container.h"
#include "engine/restore.h"
#include "engine/sandbox_table.h"
#include "engine/secrets.h"
#include "engine/start_hooks.h"
#include "engine/transitions.h"
#include "engine/user_namespace.h"
#include "engine/validate.h"
#include "launch/failpoint.h"
#include "launch/plan.h"
#include "sys/shared_memory.h"

namespace berth::engine {
namespace {

launch::StdinMode stdin_mode(const spec::ContainerConfig& config) {
  if (!config.open_stdin) return launch::StdinMode::Closed;
  return config.stdin_once ? launch::StdinMode::Once : launch::StdinMode::Open;
}

Result<launch::LogConfig> log_config(const ContainerRecord& record) {
  launch::LogConfig log;
  if (record.host_config.log_config.type == "none") return log;
  TRY(auto limits, log_limits(record.host_config.log_config));
  log.mode = launch::LogConfig::Mode::File;
  log.path = record.log_path;
  log.max_size = limits.max_size;
  log.max_files = limits.max_files;
  return log;
}

/// The container whose namespace is joined, which must run; `self` is who joins.
Result<ContainerHandle> donor(Core& core, std::string_view self, std::string_view name,
                              std::string_view what) {
  auto found = core.containers.find(name);
  if (!found) return std::move(found).error().in(fmt::format("joining {} namespace of container", what));
  const ContainerRecord& record = (*found)->record;
  if (record.id == self) return failure(Kind::InvalidArgument, "cannot join own {} namespace", what);
  if (record.state.status == Status::Restarting) {
    return failure(
        Kind::WrongState,
        "cannot join {} namespace of container: Container {} is restarting, wait until the container is "
        "running",
        what, record.id);
  }
  bool runs = record.state.status == Status::Running || record.state.status == Status::Paused;
  // docker has this one as a failure of the start (500), in other words than the rest.
  if (!runs && what == "PID")
    return failure(Kind::Internal, "failed to join PID namespace: container {} is not running", record.id);
  if (!runs) {
    return failure(Kind::WrongState,
                   "cannot join {} namespace of a non running container: container {} is {}", what,
                   record.name, to_string(record.state.status));
  }
  if (what == "IPC" && record.host_config.ipc_mode != "shareable" && record.host_config.ipc_mode != "host") {
    return failure(Kind::InvalidArgument,
                   "container {}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)",
                   record.id);
  }
  return found;
}

Result<std::string> joined_path(Core& core, const ContainerRecord& record, std::string_view mode,
                                std::string_view what, std::string_view entry) {
  if (!mode.starts_with("container:")) return std::string();
  TRY(auto other, donor(core, record.id, mode.substr(10), what));
  return fmt::format("/proc/{}/ns/{}", other->record.state.pid, entry);
}

Result<std::unique_ptr<sys::Cgroup>> make_cgroup(Core& core, const ContainerRecord& record,
                                                 const spec::RuntimeSpec& spec) {
  const spec::ContainerResources& resources = record.host_config.resources;
  TRY(auto limits, limits_of(resources, spec.resources.devices));
  const std::string& parent =
      resources.cgroup_parent.empty() ? core.options.cgroup_parent : resources.cgroup_parent;
  TRY(auto path, sys::CgroupHost::group_path(parent, record.id));
  TRY(auto created, sys::Cgroup::create(*core.cgroups, path, limits));
  return std::move(created.cgroup);
}

/// The namespace that the container gets (none with host or container mode), with its networks in it. What a
/// restored container had is asked for again; another may have it by now, and then any will do.
Result<sys::NetworkNamespace> join_networks(Core& core, ContainerRecord& record, Run& run,
                                            const CheckpointRecord* checkpoint) {
  NetworkPlace place = network_place(record.host_config);
  sys::NetworkNamespace netns;
  if (place == NetworkPlace::Container) {
    TRY(auto other,
        donor(core, record.id, std::string_view(record.host_config.network_mode).substr(10), "network"));
    record.hostname_path = other->record.hostname_path;
    record.hosts_path = other->record.hosts_path;
    record.resolv_conf_path = other->record.resolv_conf_path;
    TRY(auto maps, user_maps(record.host_config));
    // From within a user namespace of its own it could not be joined: it is born there.
    if (maps)
      return sys::NetworkNamespace::open(fmt::format("/proc/{}/ns/net", other->record.state.pid).c_str());
    return netns;
  }
  if (place == NetworkPlace::Own) {
    TRY(netns, core.namespaces->take());
  }
  auto attached = checkpoint == nullptr ? attach_networks(core, record, netns)
                                        : attach_networks(core, record, netns, checkpoint->networks);
  if (!attached && checkpoint != nullptr) {
    log::debug("container {}: {}", record.short_id(), attached.error().message());
    attached = attach_networks(core, record, netns);
  }
  if (!attached) return std::move(attached).error().in("failed to set up container networking");
  run.endpoints = *std::move(attached);
  CHECK(open_links(core, record));
  CHECK(write_container_files(core, record));
  if (netns) CHECK(serve_names(core, record, netns));
  return netns;
}

std::string oom_path(const Core& core, const sys::Cgroup& cgroup) {
  bool unified = core.cgroups->version() == sys::CgroupVersion::V2;
  for (const auto& [directory, controllers] : cgroup.directories()) {
    if (unified && controllers.empty()) return directory + "/memory.events";
    if (("," + controllers + ",").find(",memory,") != std::string::npos)
      return directory + "/memory.oom_control";
  }
  return {};
}

Result<launch::LaunchRequest> launch_request(Core& core, const ContainerRecord& record, ContainerPlan plan,
                                             const sys::Cgroup& cgroup) {
  auto durability =
      record.host_config.auto_remove ? storage::UpperDurability::Disposable : storage::UpperDurability::Kept;
  TRY(auto overlay, core.snapshotter->mount_spec(record.id, record.chain_id, durability));
  launch::LaunchRequest request;
  request.id = record.id;
  request.spec = std::move(plan.spec);
  request.root = launch::OverlayRoot{.lowers = std::move(overlay.lower),
                                     .upper = std::move(overlay.upper),
                                     .work = std::move(overlay.work),
                                     .options = std::move(overlay.options)};
  request.stdin_mode = stdin_mode(record.config);
  TRY(request.log, log_config(record));
  request.exec_directory = core.exec_dir(record.id);
  request.exit_path = core.container_dir(record.id) + "/exit";
  request.cgroups = group_directories(cgroup);
  request.oom_path = oom_path(core, cgroup);
  request.init = plan.init;
  request.explains_denials = plan.explains_denials;
  return request;
}

Result<void> make_exec_dir(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) return {};
  return Error::from_errno("mkdir", path, errno);
}

bool needs_host_lookup(const std::vector<MountPoint>& mounts) {
  return std::any_of(mounts.begin(), mounts.end(),
                     [](const MountPoint& mount) { return mount.type != spec::MountType::Tmpfs; });
}

Result<MountSourceInputs> mount_inputs(Core& core, const std::vector<MountPoint>& mounts) {
  MountSourceInputs inputs;
  for (const MountPoint& mount : mounts) {
    if (mount.type == spec::MountType::Volume) {
      auto volume = core.volumes.find(mount.name);
      if (volume != core.volumes.end()) inputs.volumes.emplace(mount.name, volume->second);
    } else if (mount.type == spec::MountType::Image) {
      auto image = core.image_store->resolve(mount.source.empty() ? mount.name : mount.source);
      // Its layers stay with the container when the image is removed by force.
      if (!image && !mount.chain_id) return std::move(image).error();
      auto& directories = inputs.images[mount.name];
      auto chain_id = image ? image->chain_id : mount.chain_id;
      if (!chain_id) continue;
      TRY(auto layers, core.snapshotter->chain(*chain_id));
      for (const storage::Layer& layer : layers) {
        directories.push_back(core.snapshotter->layer_dir(layer.chain_id) + "/fs");
      }
    }
  }
  return inputs;
}

std::string shm_dir(const Core& core, const ContainerRecord& record) {
  return core.exec_dir(record.id) + "/shm";
}

/// The /dev/shm that is shared with other containers; empty: it has its own.
Result<std::string> shared_memory(Core& core, const ContainerRecord& record) {
  const std::string& mode = record.host_config.ipc_mode;
  if (mode == "shareable") {
    std::string path = shm_dir(core, record);
    CHECK(sys::mount_shared_memory(path, record.host_config.shm_size));
    return path;
  }
  if (!mode.starts_with("container:")) return std::string();
  TRY(auto other, donor(core, record.id, std::string_view(mode).substr(10), "IPC"));
  return other->record.host_config.ipc_mode == "host" ? std::string("/dev/shm")
                                                      : shm_dir(core, other->record);
}

/// What is looked up on a worker before the sandbox is prepared.
struct StartInputs {
  ResolvedMounts mounts;
  spec::CdiEdits devices;
};

io::Task<Result<StartInputs>> look_up_inputs(Core& core, const ContainerRecord& record,
                                             const SandboxLife* sandbox) {
  StartInputs inputs{.mounts = {.mounts = record.mounts, .held = {}}};
  if (sandbox != nullptr)
    inputs.mounts.mounts.insert(inputs.mounts.mounts.end(), sandbox->mounts.begin(), sandbox->mounts.end());
  if (needs_host_lookup(record.mounts)) {
    CO_TRY(auto sources, mount_inputs(core, record.mounts));
    // In a user namespace of its own nobody would be the owner of what is mounted outside.
    CO_TRY(auto maps, user_maps(record.host_config));
    // Named, by reference: g++ 12 destroys a closure twice that is made inside a co_await expression.
    std::vector<MountPoint> list = record.mounts;
    auto resolve = [&]() -> Result<ResolvedMounts> {
      TRY(ResolvedMounts found, resolve_mount_sources(list, sources));
      if (!maps) CHECK(share_memory_volumes(core.options.exec_root, record.id, found.mounts));
      return found;
    };
    CO_TRY(inputs.mounts, co_await core.loop.on_worker(resolve));
  }
  const std::vector<spec::DeviceRequest>& requests = record.host_config.resources.device_requests;
  const bool by_runtime = record.host_config.runtime == "nvidia" && requests.empty();
  if (requests.empty() && !by_runtime) co_return inputs;
  std::vector<std::string> directories = core.options.settings.cdi_spec_dirs;
  auto serve = [&] {
    DeviceDrivers drivers = find_device_drivers(directories);
    return by_runtime ? serve_nvidia_runtime(record.config.env, drivers)
                      : serve_device_requests(requests, drivers);
  };
  CO_TRY(inputs.devices, co_await core.loop.on_worker(serve));
  co_return inputs;
}

/// Prepares the sandbox, up to the launch, into container.run. What is there after a failure is torn down by
/// the caller.
Result<PreparedRun> prepare_run(Core& core, Container& container, StartInputs& inputs,
                                const CheckpointRecord* checkpoint) {
  ContainerRecord& record = container.record;
  record.state.denied_calls.clear();
  Run& run = *container.run;
  CHECK(make_exec_dir(core.exec_dir(record.id)));
  CHECK(launch::failpoint("start.directory"));
  TRY(auto netns, join_networks(core, record, run, checkpoint));
  CHECK(launch::failpoint("start.networks"));

  ContainerRecord planned = record;
  TRY(planned.shm_path, shared_memory(core, record));
  CHECK(launch::failpoint("start.shared-memory"));
  planned.mounts = std::move(inputs.mounts.mounts);
  if (has_secrets(core, record.id)) {
    TRY(std::string folder, prepare_secrets(core, record.id));
    planned.mounts.push_back({.type = spec::MountType::Bind,
                              .source = std::move(folder),
                              .destination = "/run/secrets",
                              .read_write = false});
  }
  TRY(auto links, link_environment(core, record));
  planned.config.env.insert(planned.config.env.begin(), links.begin(), links.end());
  TRY(auto plan, plan_of(core, planned));
  CHECK(apply_device_edits(inputs.devices, record.host_config.privileged, plan.spec));
  TRY(run.cgroup, make_cgroup(core, record, plan.spec));
  CHECK(launch::failpoint("start.cgroup"));
  TRY(auto request, launch_request(core, record, std::move(plan), *run.cgroup));
  request.network_from_fd = static_cast<bool>(netns);
  CHECK(wire_sandbox(core, record, netns, request));
  TRY(auto maps, user_maps(record.host_config));
  CHECK(place_id_mapped_mounts(core.exec_dir(record.id), planned.mounts, maps, request.spec.mounts));
  CHECK(prepare_hooks(core, record, maps, request));
  if (maps) CHECK(place_mounts(core, record, maps, netns, request));
  ::unlink(request.exit_path.c_str());
  return PreparedRun{std::move(request), std::move(netns)};
}

/// Connections that attached before the start.
std::vector<launch::Attachment> take_attachments(Container& container) {
  auto attachments = std::exchange(container.pending, {});
  for (const launch::Attachment& attachment : attachments)
    container.run->attachments[attachment.request.id] = "";
  return attachments;
}

/// Spawns the keeper, into container.run.
Result<void> launch_run(Core& core, Container& container, PreparedRun& prepared) {
  const ContainerRecord& record = container.record;
  Run& run = *container.run;
  launch::LaunchFds fds;
  // In a user namespace the container has one of its own making, or one that is placed for it.
  if (prepared.netns && record.host_config.userns_mode.empty()) fds.sysfs = prepared.netns.take_sysfs();
  prepared.request.sysfs_from_fd = static_cast<bool>(fds.sysfs);
  TRY(auto launch_plan, launch::plan_launch(prepared.request, core.host));
  CHECK(launch::failpoint("start.plan"));
  launch_plan.setup.fail_at = launch::failing_step();

  if (prepared.netns) {
    fds.network_namespace = sys::UniqueFd(::fcntl(prepared.netns.fd(), F_DUPFD_CLOEXEC, 0));
    if (!fds.network_namespace) return Error::from_errno("duplicate network namespace", record.id, errno);
  }
  if (SandboxLife* sandbox = SandboxTable::of(core).find(record.id))
    fds.stdio = std::move(sandbox->wiring.stdio);
  fds.attachments = take_attachments(container);
  TRY(auto keeper, launch::Keeper::spawn(*core.keeper_program, launch_plan, std::move(fds)));
  run.keeper.emplace(std::move(keeper));
  return {};
}

/// It may have another address than before.
void tell_linking(Core& core, const ContainerRecord& record) {
  for (const ContainerHandle& linking : linking_containers(core, record)) {
    auto told = open_links(core, linking->record);
    if (told) told = write_container_files(core, linking->record);
    if (!told) log::warn("container {}: {}", linking->record.short_id(), told.error().message());
  }
}

/// Neighbours may know its addresses with the MAC address of another start.
void announce(Core& core, const ContainerRecord& record, const Run& run) {
  if (network_place(record.host_config) != NetworkPlace::Own || run.endpoints.empty()) return;
  auto netns = sys::open_file(fmt::format("/proc/{}/ns/net", record.state.pid).c_str(), O_RDONLY);
  if (!netns) return;  // it has ended
  for (const std::string& endpoint : run.endpoints) core.network->announce(endpoint, netns->get());
}

void begin_history(ContainerRecord& record, Container& container) {
  record.manually_stopped = false;
  record.restart_count = 0;
  container.restarts = {};
}

/// Of a checkpoint's directory.
Result<CheckpointRecord> look_at(const std::string& checkpoint) {
  sys::UniqueFd directory(::open(checkpoint.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return Error::from_errno("open checkpoint", checkpoint, errno);
  return read_checkpoint_record(directory.get());
}

/// From what is prepared to a keeper that has criu at work.
io::Task<Result<void>> begin_restore(Core& core, ContainerHandle container, Restore& restore) {
  auto prepare = [&restore] { return restore.prepare(); };
  CO_CHECK(co_await core.loop.on_worker(prepare));
  co_return restore.spawn(take_attachments(*container));
}

io::Task<Result<void>> start_locked(Core& core, ContainerHandle container, StartReason reason,
                                    std::string checkpoint) {
  ContainerRecord& record = container->record;
  CO_CHECK(may_start(record));
  std::optional<CheckpointRecord> restored;
  if (!checkpoint.empty()) {
    CO_TRY(restored, look_at(checkpoint));
  }
  if (reason == StartReason::User) begin_history(record, *container);
  ++container->generation;
  container->stop_requested = false;
  co_await container->torn_down.wait();

  container->torn_down.reset();
  auto run = container->run = std::make_shared<Run>();
  SandboxLife* sandbox = SandboxTable::of(core).find(record.id);
  if (sandbox != nullptr) sandbox->run = run;
  io::Task<Result<StartInputs>> looking = look_up_inputs(core, record, sandbox);
  auto inputs = co_await std::move(looking);
  std::optional<Restore> restore;
  Result<void> launched;
  Result<PreparedRun> prepared = inputs
                                     ? prepare_run(core, *container, *inputs, restored ? &*restored : nullptr)
                                     : Result<PreparedRun>(std::move(inputs).error());
  if (!prepared) {
    launched = std::move(prepared).error();
  } else if (restored) {
    restore.emplace(core, container, std::move(*prepared), checkpoint);
    io::Task<Result<void>> beginning = begin_restore(core, container, *restore);
    launched = co_await std::move(beginning);
  } else {
    launched = launch_run(core, *container, *prepared);
  }
  bool placed = !record.host_config.userns_mode.empty() || has_id_maps(record.mounts);
  if (!launched) {
    if (placed) remove_placed_mounts(core.exec_dir(record.id));
    run_failed(core, container, {.exit_code = 128, .message = launched.error().message()});
    co_return std::move(launched).error();
  }
  publish_volumes(core, record, "mount");
  watch_run(core, container);
  if (restore) {
    io::Task<void> driving = restore->drive();
    co_await std::move(driving);
  }
  io::Event& settled = sandbox != nullptr ? sandbox->ready : run->settled;
  co_await settled.wait();
  // The container has taken its copies.
  if (placed) remove_placed_mounts(core.exec_dir(record.id));
  if (!run->failure) {
    tell_linking(core, record);
    announce(core, record, *run);
    co_return Result<void>();
  }
  // docker answers 400 when the program is to blame.
  Kind kind = run->failure->exit_code == 126 || run->failure->exit_code == 127 ? Kind::InvalidArgument
                                                                               : Kind::Internal;
  co_return Error(kind, run->failure->message);
}

}  // namespace

Result<JoinedNamespaces> join_namespaces(Core& core, const ContainerRecord& record) {
  const spec::HostConfig& host = record.host_config;
  JoinedNamespaces joined;
  TRY(joined.network, joined_path(core, record, host.network_mode, "network", "net"));
  TRY(joined.ipc, joined_path(core, record, host.ipc_mode, "IPC", "ipc"));
  TRY(joined.pid, joined_path(core, record, host.pid_mode, "PID", "pid"));
  return joined;
}

Result<ContainerPlan> plan_of(Core& core, const ContainerRecord& record) {
  TRY(auto joined, join_namespaces(core, record));
  return plan_container(record, joined, core.host);
}

std::vector<launch::CgroupDirectory> group_directories(const sys::Cgroup& cgroup) {
  std::vector<launch::CgroupDirectory> groups;
  for (const auto& [directory, controllers] : cgroup.directories()) groups.push_back({directory});
  return groups;
}

io::Task<Result<void>> start_container(Core& core, ContainerHandle container, StartReason reason,
                                       std::string checkpoint) {
  auto guard = co_await container->operation.lock();
  if (container->removed) {
    co_return failure(Kind::NotFound, "No such container: {}", container->record.id);
  }
  io::Task<Result<void>> start = start_locked(core, container, reason, std::move(checkpoint));
  co_return co_await std::move(start);
}

io::Task<Result<void>> Containers::start(std::string reference) {
  CO_TRY(auto container, core_.containers.find(reference));
  io::Task<Result<void>> start = start_container(core_, container, StartReason::User);
  co_return co_await core_.run_to_end(std::move(start));
}

}  // namespace berth::engine
