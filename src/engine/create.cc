// Creating a container: configuration merged with the image's, checked, and laid down; nothing runs yet.
#include <sys/stat.h>

#include <algorithm>

#include "base/format.h"
#include "base/id.h"
#include "base/log.h"
#include "base/rollback.h"
#include "engine/adopted_container.h"
#include "engine/container_defaults.h"
#include "engine/container_limits.h"
#include "engine/container_network.h"
#include "engine/endpoint_settings.h"
#include "engine/lifecycle.h"
#include "engine/links.h"
#include "engine/merge.h"
#include "engine/mount_points.h"
#include "engine/plan_container.h"
#include "engine/sandbox_table.h"
#include "engine/user_namespace.h"
#include "engine/validate.h"
#include "launch/failpoint.h"

namespace berth::engine {
namespace {

constexpr int kNameAttempts = 20;

/// The name given, or a made-up one that is free.
Result<std::string> take_name(Core& core, std::string_view wanted, const std::string& id) {
  if (!wanted.empty()) {
    if (wanted.starts_with('/')) wanted.remove_prefix(1);
    CHECK(validate_name(wanted));
    std::string name(wanted);
    CHECK(core.containers.take_name(name, id));
    return name;
  }
  for (int attempt = 0; attempt < kNameAttempts; ++attempt) {
    std::string name = random_name();
    if (core.containers.take_name(name, id)) return name;
  }
  std::string name = id.substr(0, 12);
  CHECK(core.containers.take_name(name, id));
  return name;
}

Result<storage::Image> resolve_image(Core& core, const CreateContainer& request) {
  const std::string& reference = request.request.config.image;
  if (reference.empty()) {
    const spec::ContainerConfig& config = request.request.config;
    bool has_command =
        (config.cmd && !config.cmd->empty()) || (config.entrypoint && !config.entrypoint->empty());
    return Error(Kind::InvalidArgument,
                 has_command ? "invalid reference format: no image was given" : "no command specified");
  }
  // "busybox:sha256:<id>" and its like name nothing that could be found.
  const size_t algorithm = reference.find(":sha256:");
  if (algorithm != reference.npos && algorithm > 0 && reference.find('@') == reference.npos)
    return Error(Kind::InvalidArgument, "invalid reference format");
  TRY(auto image, core.image_store->resolve(reference));
  if (request.platform && !spec::matches(*request.platform, image.config->platform)) {
    return failure(
        Kind::NotFound,
        "image with reference {} was found but its platform ({}) does not match the specified platform "
        "({})",
        reference, image.config->platform.str(), request.platform->str());
  }
  return image;
}

/// `container:name` becomes `container:id`, so that a rename does not break it.
void pin_container(const Core& core, std::string& mode) {
  if (!mode.starts_with("container:")) return;
  if (auto found = core.containers.find(std::string_view(mode).substr(10)))
    mode = "container:" + (*found)->record.id;
}

/// What the record's networks will be: those given, or, where there are none, the one of the network mode.
Result<spec::EndpointMap> endpoints_of(const Core& core, const spec::CreateRequest& request) {
  const std::string& mode = request.host_config.network_mode;
  spec::EndpointMap endpoints;
  if (mode.starts_with("container:")) {
    if (request.endpoints.empty()) return endpoints;
    return Error(
        Kind::InvalidArgument,
        "container sharing network namespace with another container or host cannot be connected to any other "
        "network");
  }
  for (const auto& [reference, settings] : request.endpoints) {
    std::string name = reference == "default" ? "bridge" : reference;
    if (auto network = core.network->find(name)) name = (*network)->name;
    endpoints[name] = settings;
    endpoints[name].endpoint_id.clear();
  }
  std::string own = mode;
  if (auto network = core.network->find(mode)) own = (*network)->name;
  bool alone = own == "host" || own == "none";
  if (alone || endpoints.empty()) endpoints.try_emplace(own);
  settle_default_network(*core.network, endpoints);
  for (const auto& [name, settings] : endpoints) {
    auto network = core.network->find(name);
    CHECK(check_endpoint(network ? *network : nullptr, name, settings));
  }
  if (alone && endpoints.size() > 1) {
    return Error(Kind::InvalidArgument,
                 own == "none"
                     ? "container cannot be connected to multiple networks with one of the networks in "
                       "private (none) mode"
                     : "container sharing network namespace with another container or host cannot be "
                       "connected to any other network");
  }
  return endpoints;
}

Result<std::vector<MountPoint>> mounts_of(Core& core, const spec::CreateRequest& request,
                                          CreateContainer::ReadOnlyReach reach) {
  MountSources sources;
  sources.read_only_recursive = reach == CreateContainer::ReadOnlyReach::Recursive;
  sources.volumes_of = [&core](std::string_view name) -> Result<std::vector<MountPoint>> {
    TRY(auto other, core.containers.find(name));
    return other->record.mounts;
  };
  sources.new_name = random_id;
  sources.data_root = core.options.data_root;
  return resolve_mounts(request.config, request.host_config, sources);
}

/// Sources of --mount type=bind must exist at create already; those of -v are made at start.
Result<void> check_bind_sources(const std::vector<MountPoint>& mounts) {
  for (const MountPoint& mount : mounts) {
    if (mount.type != spec::MountType::Bind || mount.create_source) continue;
    struct stat status {};
    if (::stat(mount.source.c_str(), &status) != 0 && errno == ENOENT) {
      return failure(Kind::InvalidArgument,
                     "invalid mount config for type \"bind\": bind source path does not exist: {}",
                     mount.source);
    }
  }
  return {};
}

/// The daemon's driver for those that name none, and its options for those of the same driver.
void apply_default_log(const spec::LogConfig& fallback, spec::LogConfig& log) {
  if (log.type.empty()) log.type = fallback.type;
  if (log.type == fallback.type) log.config.insert(fallback.config.begin(), fallback.config.end());
}

void set_defaults(const Core& core, spec::CreateRequest& request) {
  spec::HostConfig& host = request.host_config;
  apply_default_log(core.options.settings.default_log, host.log_config);
  // As docker has it: who may do everything sees where it is (engines within it make groups of their own).
  bool sees_groups = host.privileged && core.cgroups->version() != sys::CgroupVersion::V2;
  if (sees_groups && host.cgroupns_mode.empty()) host.cgroupns_mode = "host";
  apply_defaults(core.options.settings.container_defaults, host);
  fill_defaults(host);
  pin_container(core, host.network_mode);
  pin_container(core, host.ipc_mode);
  pin_container(core, host.pid_mode);
  if (host.resources.ulimits.empty()) host.resources.ulimits = core.default_ulimits;
}

/// Warnings of the create answer: what this host cannot hold.
Result<std::vector<std::string>> check_host(const Core& core, const spec::CreateRequest& request) {
  TRY(auto limits, limits_of(request.host_config.resources, {}));
  TRY(auto warnings, sys::check_limits(core.cgroups->features(), limits));
  const spec::HostConfig& host = request.host_config;
  for (std::string& warning : rounding_warnings(host.resources)) warnings.push_back(std::move(warning));
  if (host.resources.oom_kill_disable.value_or(false) && host.resources.memory == 0) {
    warnings.emplace_back(
        "OOM killer is disabled for the container, but no memory limit is set, this can result in the system "
        "running "
        "out of resources.");
  }
  if (host.network_mode == "host" && !host.port_bindings.empty()) {
    warnings.emplace_back("Published ports are discarded when using host network mode");
  }
  return warnings;
}

std::string default_hostname(const Core& core, const ContainerRecord& record) {
  const spec::HostConfig& host = record.host_config;
  if (host.network_mode.starts_with("container:")) {
    auto other = core.containers.by_id(host.network_mode.substr(10));
    return other ? other->record.config.hostname : std::string();
  }
  if (host.network_mode == "host" || host.uts_mode == "host") return core.host_name;
  return record.short_id();
}

ContainerRecord make_record(spec::CreateRequest request, const storage::Image& image) {
  ContainerRecord record{.image_id = image.id};
  record.created = now();
  record.chain_id = image.chain_id;
  record.platform = image.config->platform.os.empty() ? "linux" : image.config->platform.os;
  record.config = std::move(request.config);
  record.host_config = std::move(request.host_config);
  auto command = command_line(record.config);
  record.path = command.front();
  record.args.assign(command.begin() + 1, command.end());
  return record;
}

/// Everything that can be refused, refused before anything is made.
Result<ContainerRecord> plan_record(Core& core, CreateContainer& request,
                                    std::vector<std::string>& warnings) {
  spec::CreateRequest& wanted = request.request;
  if (wanted.host_config.restart_policy.name.empty()) wanted.host_config.restart_policy.name = "no";
  CHECK(validate_config(wanted.config));
  CHECK(validate_host_config(wanted.config, wanted.host_config));
  TRY(auto image, resolve_image(core, request));
  if (!spec::matches(spec::Platform::host(), image.config->platform) && !request.platform) {
    warnings.push_back(
        fmt::format("The requested image's platform ({}) does not match the detected host platform ({}) and "
                    "no specific platform "
                    "was requested",
                    image.config->platform.str(), spec::Platform::host().str()));
  }
  set_defaults(core, wanted);
  CHECK(settle_user_mode(core, wanted.config, wanted.host_config));
  CHECK(merge_image(wanted.config, image.config->config));
  CHECK(validate_config(wanted.config));
  TRY(auto more, check_host(core, wanted));
  warnings.insert(warnings.end(), more.begin(), more.end());
  for (const std::string* mode : {&wanted.host_config.pid_mode, &wanted.host_config.ipc_mode}) {
    if (!mode->starts_with("container:")) continue;
    auto other = core.containers.find(std::string_view(*mode).substr(10));
    if (!other) return Error(Kind::InvalidArgument, other.error().message());
  }
  for (const std::string& link : wanted.host_config.links) {
    TRY(auto name, parse_link(link));
    // Elsewhere links are names, which may come to mean somebody later.
    if (wanted.host_config.network_mode != "bridge") continue;
    auto other = core.containers.find(name.container);
    if (!other) {
      return failure(Kind::InvalidArgument, "could not get container for {}: {}", name.container,
                     other.error().message());
    }
  }
  TRY(auto mounts, mounts_of(core, wanted, request.read_only_reach));
  CHECK(check_bind_sources(mounts));
  for (MountPoint& mount : mounts) {
    if (mount.type != spec::MountType::Image) continue;
    // The image that the name means today: it may mean another one when the container starts again.
    TRY(auto mounted, core.image_store->resolve(mount.name));
    mount.source = mounted.id.str();
    mount.chain_id = mounted.chain_id;
  }
  TRY(auto endpoints, endpoints_of(core, wanted));
  ContainerRecord record = make_record(std::move(wanted), image);
  record.mounts = std::move(mounts);
  record.endpoints = std::move(endpoints);
  // Clients look for it where it was before endpoints had one of their own.
  if (auto main = record.endpoints.find(main_network(core, record));
      main != record.endpoints.end() && record.config.mac_address.empty())
    record.config.mac_address = main->second.mac_address;
  return record;
}

/// What it has written takes the place of the empty directory.
Result<void> take_over_upper(const std::string& upper, const storage::OverlaySpec& overlay) {
  if (upper.empty()) return {};
  if (::rename(upper.c_str(), overlay.upper.c_str()) != 0) return Error::from_errno("rename", upper, errno);
  return {};
}

void set_past(const AdoptedContainer& adopted, ContainerState& state) {
  state.status = Status::Exited;
  state.exit_code = adopted.exit_code;
  state.oom_killed = adopted.oom_killed;
  state.started = adopted.started;
  state.finished = adopted.finished;
}

/// `adopted`: what it has behind it already; none for a new container.
io::Task<Result<CreatedContainer>> create_container(Core& core, CreateContainer request,
                                                    const AdoptedContainer* adopted = nullptr) {
  // No image may go between its look-up and the record that keeps it.
  io::Mutex::Guard image_guard = co_await core.image_removal.lock();
  CreatedContainer answer{.id = adopted != nullptr ? adopted->id : random_id()};
  CO_TRY(auto record, plan_record(core, request, answer.warnings));
  record.id = answer.id;
  if (adopted != nullptr) {
    record.chain_id = adopted->chain_id;
    set_past(*adopted, record.state);
  }
  if (record.config.hostname.empty()) record.config.hostname = default_hostname(core, record);
  record.log_path = core.container_dir(record.id) + "/log";
  if (record.host_config.log_config.type == "none") record.log_path.clear();
  if (network_place(record.host_config) != NetworkPlace::Container) {
    record.hostname_path = core.container_dir(record.id) + "/hostname";
    record.hosts_path = core.container_dir(record.id) + "/hosts";
    record.resolv_conf_path = core.container_dir(record.id) + "/resolv.conf";
  }
  CO_TRY(record.name, take_name(core, request.name, record.id));
  Rollback undo;
  undo.add([&core, name = record.name] { core.containers.release_name(name); });
  CO_CHECK(launch::failpoint("create.name"));

  auto durability =
      record.host_config.auto_remove ? storage::UpperDurability::Disposable : storage::UpperDurability::Kept;
  undo.add([&core, id = record.id] {
    if (auto removed = core.snapshotter->remove(id); !removed) log::warn("{}", removed.error().message());
  });
  CO_TRY(const auto overlay, core.snapshotter->prepare(record.id, record.chain_id, durability));
  if (adopted != nullptr) CO_CHECK(take_over_upper(adopted->upper, overlay));
  CO_CHECK(launch::failpoint("create.snapshot"));
  bool has_volumes = std::any_of(record.mounts.begin(), record.mounts.end(), [](const MountPoint& mount) {
    return mount.type == spec::MountType::Volume;
  });
  if (has_volumes) {
    undo.add([&core, &record] { remove_anonymous_volumes(core, record); });
    io::Task<Result<void>> volumes = make_volumes(core, record);
    CO_CHECK(co_await std::move(volumes));
  }
  CO_CHECK(launch::failpoint("create.volumes"));
  if (!SandboxTable::of(core).expects(record.name)) CO_CHECK(core.records->insert_container(record));
  undo.keep();
  auto container = std::make_shared<Container>(std::move(record));
  core.containers.insert(container);
  // Of one that was adopted all has been told before.
  if (adopted == nullptr) core.publish(container->record, "create");
  co_return answer;
}

io::Task<Result<void>> rename_container(Core& core, ContainerHandle container, std::string new_name) {
  io::Mutex::Guard guard = co_await container->operation.lock();
  ContainerRecord& record = container->record;
  if (container->removed) co_return failure(Kind::NotFound, "No such container: {}", record.name);
  if (record.name == new_name) {
    co_return Error(Kind::InvalidArgument, "Renaming a container with the same name as its current name");
  }
  CO_CHECK(core.containers.take_name(new_name, record.id));
  std::string old_name = std::exchange(record.name, new_name);
  auto old_endpoints = record.endpoints;
  for (auto& [network, settings] : record.endpoints) {
    if (!settings.dns_names.empty()) settings.dns_names = dns_names(record, settings);
  }
  if (auto saved = core.records->save_definition(record); !saved) {
    record.name = old_name;
    record.endpoints = std::move(old_endpoints);
    core.containers.release_name(new_name);
    co_return std::move(saved).error();
  }
  core.containers.release_name(old_name);
  core.network->rename_container(record.id, record.name);
  for (const auto* endpoint : core.network->endpoints_of_container(record.id)) {
    CO_CHECK(core.records->save_endpoint(*endpoint));
  }
  core.publish(record, "rename", {{"oldName", "/" + old_name}});
  co_return Result<void>();
}

io::Task<Result<void>> adopt(Core& core, AdoptedContainer adopted) {
  if (core.containers.by_id(adopted.id))
    co_return failure(Kind::AlreadyExists, "there is a container {}", adopted.id);
  io::Task<Result<CreatedContainer>> create = create_container(core, std::move(adopted.create), &adopted);
  CO_CHECK(co_await std::move(create));
  co_return Result<void>();
}

}  // namespace

io::Task<Result<void>> adopt_container(Engine& engine, AdoptedContainer adopted) {
  Core& core = SandboxTable::core_of(engine);
  io::Task<Result<void>> work = adopt(core, std::move(adopted));
  co_return co_await core.run_to_end(std::move(work));
}

io::Task<Result<CreatedContainer>> Containers::create(CreateContainer request) {
  io::Task<Result<CreatedContainer>> create = create_container(core_, std::move(request));
  co_return co_await core_.run_to_end(std::move(create));
}

io::Task<Result<void>> Containers::rename(std::string reference, std::string new_name) {
  CO_TRY(auto container, core_.containers.find(reference));
  if (new_name.starts_with('/')) new_name.erase(0, 1);
  if (new_name.empty()) co_return Error(Kind::InvalidArgument, "Neither old nor new names may be empty");
  CO_CHECK(validate_name(new_name));
  io::Task<Result<void>> rename = rename_container(core_, container, std::move(new_name));
  co_return co_await core_.run_to_end(std::move(rename));
}

}  // namespace berth::engine
