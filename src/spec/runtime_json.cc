// Reading the runtime specification's documents.
#include "spec/runtime_json.h"

#include <array>
#include <utility>

#include "spec/object_reader.h"

namespace berth::spec {
namespace {

constexpr size_t kMaxConfig = 16u << 20;
constexpr size_t kMaxDepth = 32;

/// Numbers up to 2^64-1 (RLIM_INFINITY); json_int stops at 2^63-1.
template <class Integer>
void read_unsigned(ObjectReader& reader, std::string_view key, Integer& field) {
  const Json* value = reader.find(key);
  if (value == nullptr) return;
  if (!value->is_number_unsigned() || !std::in_range<Integer>(value->get<uint64_t>())) {
    return reader.fail(failure(Kind::InvalidArgument, "invalid JSON: \"{}\" must be a number from 0", key));
  }
  field = static_cast<Integer>(value->get<uint64_t>());
}

template <class Integer>
void read_unsigned(ObjectReader& reader, std::string_view key, std::optional<Integer>& field) {
  if (reader.find(key) != nullptr) read_unsigned(reader, key, field.emplace());
}

Result<IdMapping> parse_id_mapping(const Json& object) {
  IdMapping mapping;
  ObjectReader reader(object, "an id mapping");
  reader.read("containerID", mapping.container_id);
  reader.read("hostID", mapping.host_id);
  reader.read("size", mapping.size);
  CHECK(std::move(reader).finish());
  return mapping;
}

Result<Mount> parse_mount(const Json& object) {
  Mount mount;
  ObjectReader reader(object, "a mount");
  reader.read("destination", mount.destination);
  reader.read("type", mount.type);
  reader.read("source", mount.source);
  reader.read("options", mount.options);
  reader.read_list("uidMappings", mount.uid_mappings, parse_id_mapping);
  reader.read_list("gidMappings", mount.gid_mappings, parse_id_mapping);
  CHECK(std::move(reader).finish());
  if (mount.destination.empty()) return Error(Kind::InvalidArgument, "a mount has no destination");
  return mount;
}

Result<Rlimit> parse_rlimit(const Json& object) {
  Rlimit limit;
  ObjectReader reader(object, "an rlimit");
  reader.read("type", limit.type);
  read_unsigned(reader, "hard", limit.hard);
  read_unsigned(reader, "soft", limit.soft);
  CHECK(std::move(reader).finish());
  return limit;
}

Result<User> parse_user(const Json& object) {
  User user;
  ObjectReader reader(object, "user");
  reader.read("uid", user.uid);
  reader.read("gid", user.gid);
  reader.read("umask", user.umask);
  reader.read_list("additionalGids", user.additional_gids, [](const Json& gid) -> Result<uint32_t> {
    if (!gid.is_number_unsigned() || !std::in_range<uint32_t>(gid.get<uint64_t>()))
      return Error(Kind::InvalidArgument, "invalid JSON: \"additionalGids\" must hold group ids");
    return gid.get<uint32_t>();
  });
  CHECK(std::move(reader).finish());
  return user;
}

Result<Capabilities> parse_capabilities(const Json& object) {
  Capabilities sets;
  ObjectReader reader(object, "capabilities");
  reader.read("bounding", sets.bounding);
  reader.read("effective", sets.effective);
  reader.read("inheritable", sets.inheritable);
  reader.read("permitted", sets.permitted);
  reader.read("ambient", sets.ambient);
  CHECK(std::move(reader).finish());
  return sets;
}

Result<ConsoleSize> parse_console_size(const Json& object) {
  ConsoleSize size;
  ObjectReader reader(object, "consoleSize");
  reader.read("height", size.height);
  reader.read("width", size.width);
  CHECK(std::move(reader).finish());
  return size;
}

Result<Scheduler> parse_scheduler(const Json& object) {
  Scheduler scheduler;
  ObjectReader reader(object, "scheduler");
  reader.read("policy", scheduler.policy);
  reader.read("nice", scheduler.nice);
  reader.read("priority", scheduler.priority);
  reader.read("flags", scheduler.flags);
  read_unsigned(reader, "runtime", scheduler.runtime);
  read_unsigned(reader, "deadline", scheduler.deadline);
  read_unsigned(reader, "period", scheduler.period);
  CHECK(std::move(reader).finish());
  return scheduler;
}

Result<IoPriority> parse_io_priority(const Json& object) {
  IoPriority priority;
  ObjectReader reader(object, "ioPriority");
  reader.read("class", priority.io_class);
  reader.read("priority", priority.priority);
  CHECK(std::move(reader).finish());
  return priority;
}

Result<CpuAffinity> parse_affinity(const Json& object) {
  CpuAffinity affinity;
  ObjectReader reader(object, "execCPUAffinity");
  reader.read("initial", affinity.initial);
  reader.read("final", affinity.final_cpus);
  CHECK(std::move(reader).finish());
  return affinity;
}

Result<Hook> parse_hook(const Json& object) {
  Hook hook;
  ObjectReader reader(object, "a hook");
  reader.read("path", hook.path);
  reader.read("args", hook.args);
  reader.read("env", hook.env);
  reader.read("timeout", hook.timeout);
  CHECK(std::move(reader).finish());
  if (!hook.path.starts_with('/'))
    return failure(Kind::InvalidArgument, "invalid hook \"{}\": the path must be absolute", hook.path);
  if (hook.timeout && *hook.timeout <= 0)
    return failure(Kind::InvalidArgument, "invalid hook \"{}\": the timeout must be greater than zero",
                   hook.path);
  return hook;
}

Result<Hooks> parse_hooks(const Json& object) {
  Hooks hooks;
  ObjectReader reader(object, "hooks");
  reader.read_list("prestart", hooks.prestart, parse_hook);
  reader.read_list("createRuntime", hooks.create_runtime, parse_hook);
  reader.read_list("createContainer", hooks.create_container, parse_hook);
  reader.read_list("startContainer", hooks.start_container, parse_hook);
  reader.read_list("poststart", hooks.poststart, parse_hook);
  reader.read_list("poststop", hooks.poststop, parse_hook);
  CHECK(std::move(reader).finish());
  return hooks;
}

Result<Namespace> parse_namespace(const Json& object) {
  static constexpr std::pair<std::string_view, NamespaceType> kTypes[] = {
      {"pid", NamespaceType::Pid},   {"network", NamespaceType::Network}, {"mount", NamespaceType::Mount},
      {"ipc", NamespaceType::Ipc},   {"uts", NamespaceType::Uts},         {"user", NamespaceType::User},
      {"time", NamespaceType::Time}, {"cgroup", NamespaceType::Cgroup}};
  std::string type;
  Namespace result{};
  ObjectReader reader(object, "a namespace");
  reader.read("type", type);
  reader.read("path", result.path);
  CHECK(std::move(reader).finish());
  for (const auto& [name, value] : kTypes) {
    if (name != type) continue;
    result.type = value;
    if (!result.path.empty() && !result.path.starts_with('/'))
      return failure(Kind::InvalidArgument, "namespace path \"{}\" must be absolute", result.path);
    return result;
  }
  return failure(Kind::InvalidArgument, "unknown namespace type \"{}\"", type);
}

Result<Device> parse_device(const Json& object) {
  Device device;
  std::string type;
  ObjectReader reader(object, "a device");
  reader.read("path", device.path);
  reader.read("type", type);
  reader.read("major", device.major);
  reader.read("minor", device.minor);
  reader.read("fileMode", device.file_mode);
  reader.read("uid", device.uid);
  reader.read("gid", device.gid);
  CHECK(std::move(reader).finish());
  if (!device.path.starts_with('/') || type.size() != 1)
    return failure(Kind::InvalidArgument, "invalid device \"{}\" of type \"{}\"", device.path, type);
  device.type = type[0];
  return device;
}

Result<DeviceRule> parse_device_rule(const Json& object) {
  DeviceRule rule;
  std::string type;
  ObjectReader reader(object, "a device rule");
  reader.read("allow", rule.allow);
  reader.read("type", type);
  reader.read("major", rule.major);
  reader.read("minor", rule.minor);
  reader.read("access", rule.access);
  CHECK(std::move(reader).finish());
  if (!type.empty()) rule.type = type[0];
  if (type.size() > 1 || (rule.type != 'a' && rule.type != 'b' && rule.type != 'c'))
    return failure(Kind::InvalidArgument, "invalid device rule type \"{}\"", type);
  if (rule.access.empty()) rule.access = "rwm";
  // runc passes over other letters, and its callers write "rwa".
  std::erase(rule.access, 'a');
  if (rule.major == -1) rule.major.reset();
  if (rule.minor == -1) rule.minor.reset();
  return rule;
}

Result<WeightDevice> parse_weight_device(const Json& object) {
  WeightDevice device;
  ObjectReader reader(object, "weightDevice");
  reader.read("major", device.major);
  reader.read("minor", device.minor);
  reader.read("weight", device.weight);
  reader.read("leafWeight", device.leaf_weight);
  CHECK(std::move(reader).finish());
  return device;
}

Result<ThrottleDevice> parse_throttle_device(const Json& object) {
  ThrottleDevice device;
  ObjectReader reader(object, "a throttled device");
  reader.read("major", device.major);
  reader.read("minor", device.minor);
  read_unsigned(reader, "rate", device.rate);
  CHECK(std::move(reader).finish());
  return device;
}

Result<Resources::Memory> parse_memory(const Json& object) {
  Resources::Memory memory;
  ObjectReader reader(object, "memory");
  reader.read("limit", memory.limit);
  reader.read("reservation", memory.reservation);
  reader.read("swap", memory.swap);
  read_unsigned(reader, "swappiness", memory.swappiness);
  reader.read("disableOOMKiller", memory.disable_oom_killer);
  reader.read("checkBeforeUpdate", memory.check_before_update);
  CHECK(std::move(reader).finish());
  return memory;
}

Result<Resources::Cpu> parse_cpu(const Json& object) {
  Resources::Cpu cpu;
  ObjectReader reader(object, "cpu");
  read_unsigned(reader, "shares", cpu.shares);
  reader.read("quota", cpu.quota);
  read_unsigned(reader, "period", cpu.period);
  read_unsigned(reader, "burst", cpu.burst);
  reader.read("idle", cpu.idle);
  reader.read("realtimeRuntime", cpu.realtime_runtime);
  read_unsigned(reader, "realtimePeriod", cpu.realtime_period);
  reader.read("cpus", cpu.cpus);
  reader.read("mems", cpu.mems);
  CHECK(std::move(reader).finish());
  return cpu;
}

Result<Resources::BlockIo> parse_block_io(const Json& object) {
  Resources::BlockIo io;
  ObjectReader reader(object, "blockIO");
  reader.read("weight", io.weight);
  reader.read("leafWeight", io.leaf_weight);
  reader.read_list("weightDevice", io.weight_device, parse_weight_device);
  reader.read_list("throttleReadBpsDevice", io.read_bps, parse_throttle_device);
  reader.read_list("throttleWriteBpsDevice", io.write_bps, parse_throttle_device);
  reader.read_list("throttleReadIOPSDevice", io.read_iops, parse_throttle_device);
  reader.read_list("throttleWriteIOPSDevice", io.write_iops, parse_throttle_device);
  CHECK(std::move(reader).finish());
  return io;
}

Result<SeccompArg> parse_seccomp_arg(const Json& object) {
  SeccompArg arg;
  ObjectReader reader(object, "a seccomp argument");
  reader.read("index", arg.index);
  read_unsigned(reader, "value", arg.value);
  read_unsigned(reader, "valueTwo", arg.value_two);
  reader.read("op", arg.op);
  CHECK(std::move(reader).finish());
  return arg;
}

Result<SeccompRule> parse_seccomp_rule(const Json& object) {
  SeccompRule rule;
  ObjectReader reader(object, "a seccomp rule");
  reader.read("names", rule.names);
  reader.read("action", rule.action);
  reader.read("errnoRet", rule.errno_ret);
  reader.read_list("args", rule.args, parse_seccomp_arg);
  CHECK(std::move(reader).finish());
  if (rule.names.empty()) return Error(Kind::InvalidArgument, "a seccomp rule names no system call");
  return rule;
}

Result<Seccomp> parse_seccomp(const Json& object) {
  Seccomp seccomp;
  ObjectReader reader(object, "seccomp");
  reader.read("defaultAction", seccomp.default_action);
  reader.read("defaultErrnoRet", seccomp.default_errno_ret);
  reader.read("architectures", seccomp.architectures);
  reader.read("flags", seccomp.flags);
  reader.read("listenerPath", seccomp.listener_path);
  reader.read("listenerMetadata", seccomp.listener_metadata);
  reader.read_list("syscalls", seccomp.syscalls, parse_seccomp_rule);
  CHECK(std::move(reader).finish());
  if (seccomp.default_action.empty()) return Error(Kind::InvalidArgument, "seccomp has no defaultAction");
  return seccomp;
}

Result<TimeOffset> parse_time_offset(const Json& object) {
  TimeOffset offset;
  ObjectReader reader(object, "a time offset");
  reader.read("secs", offset.seconds);
  reader.read("nanosecs", offset.nanoseconds);
  CHECK(std::move(reader).finish());
  return offset;
}

Result<MemoryPolicy> parse_memory_policy(const Json& object) {
  MemoryPolicy policy;
  ObjectReader reader(object, "memoryPolicy");
  reader.read("mode", policy.mode);
  reader.read("nodes", policy.nodes);
  reader.read("flags", policy.flags);
  CHECK(std::move(reader).finish());
  return policy;
}

/// An object of objects: parse(value) for each member.
template <class T, class Parse>
Result<std::map<std::string, T>> parse_map(const Json& object, std::string_view what, Parse parse) {
  std::map<std::string, T> map;
  if (!object.is_object()) return failure(Kind::InvalidArgument, "invalid JSON: {} must be an object", what);
  for (const auto& [key, value] : object.items()) {
    TRY(map[key], parse(value));
  }
  return map;
}

Result<std::string> parse_net_device(const Json& object) {
  std::string name;
  ObjectReader reader(object, "a network device");
  reader.read("name", name);
  CHECK(std::move(reader).finish());
  return name;
}

Result<std::string> parse_personality(const Json& object) {
  std::string domain;
  ObjectReader reader(object, "personality");
  reader.read("domain", domain);
  CHECK(std::move(reader).finish());
  return domain;
}

Result<void> parse_linux(const Json& object, RuntimeSpec& spec) {
  ObjectReader reader(object, "linux");
  reader.read_list("namespaces", spec.namespaces, parse_namespace);
  reader.read_list("uidMappings", spec.uid_mappings, parse_id_mapping);
  reader.read_list("gidMappings", spec.gid_mappings, parse_id_mapping);
  reader.read_list("devices", spec.devices, parse_device);
  reader.read("cgroupsPath", spec.cgroups_path);
  reader.read_with("resources", spec.resources, parse_runtime_resources);
  reader.read("rootfsPropagation", spec.rootfs_propagation);
  reader.read_with("seccomp", spec.seccomp, parse_seccomp);
  reader.read("sysctl", spec.sysctl);
  reader.read("maskedPaths", spec.masked_paths);
  reader.read("readonlyPaths", spec.readonly_paths);
  reader.read("mountLabel", spec.mount_label);
  reader.read_with("timeOffsets", spec.time_offsets, [](const Json& offsets) {
    return parse_map<TimeOffset>(offsets, "timeOffsets", parse_time_offset);
  });
  reader.read_with("personality", spec.personality, parse_personality);
  reader.read_with("memoryPolicy", spec.memory_policy, parse_memory_policy);
  reader.read_with("netDevices", spec.net_devices, [](const Json& devices) {
    return parse_map<std::string>(devices, "netDevices", parse_net_device);
  });
  spec.intel_rdt = reader.find("intelRdt") != nullptr;
  return std::move(reader).finish();
}

Result<void> parse_root(const Json& object, RuntimeSpec& spec) {
  ObjectReader reader(object, "root");
  reader.read("path", spec.root.path);
  reader.read("readonly", spec.root.readonly);
  return std::move(reader).finish();
}

/// "1.0.2-dev", "1.3.0": major version one.
Result<void> check_version(const std::string& version) {
  if (version.starts_with("1.")) return {};
  if (version.empty()) return Error(Kind::InvalidArgument, "config.json has no ociVersion");
  return failure(Kind::Unsupported, "config.json is of ociVersion \"{}\": versions 1.0 to 1.3 are supported",
                 version);
}

}  // namespace

Result<Process> parse_runtime_process(const Json& object) {
  Process process;
  ObjectReader reader(object, "process");
  reader.read("terminal", process.terminal);
  reader.read_with("consoleSize", process.console_size, parse_console_size);
  reader.read_with("user", process.user, parse_user);
  reader.read("args", process.args);
  reader.read("env", process.env);
  reader.read("cwd", process.cwd);
  reader.read_with("capabilities", process.capabilities, parse_capabilities);
  reader.read_list("rlimits", process.rlimits, parse_rlimit);
  reader.read("noNewPrivileges", process.no_new_privileges);
  reader.read("apparmorProfile", process.apparmor_profile);
  reader.read("selinuxLabel", process.selinux_label);
  reader.read("oomScoreAdj", process.oom_score_adj);
  reader.read_with("scheduler", process.scheduler, parse_scheduler);
  reader.read_with("ioPriority", process.io_priority, parse_io_priority);
  reader.read_with("execCPUAffinity", process.exec_cpu_affinity, parse_affinity);
  CHECK(std::move(reader).finish());
  // Without the member nothing is said of capabilities; a process gets none then, as runc has it.
  if (!process.capabilities) process.capabilities.emplace();
  return process;
}

namespace {

Result<Resources::Network> parse_network(const Json& object) {
  Resources::Network network;
  ObjectReader reader(object, "network");
  read_unsigned(reader, "classID", network.class_id);
  std::vector<std::pair<std::string, uint32_t>> priorities;
  reader.read_list("priorities", priorities, [](const Json& one) -> Result<std::pair<std::string, uint32_t>> {
    std::pair<std::string, uint32_t> priority;
    ObjectReader inner(one, "a network priority");
    inner.read("name", priority.first);
    read_unsigned(inner, "priority", priority.second);
    CHECK(std::move(inner).finish());
    return priority;
  });
  network.priorities.insert(priorities.begin(), priorities.end());
  CHECK(std::move(reader).finish());
  return network;
}

Result<std::map<std::string, Resources::Rdma>> parse_rdma(const Json& object) {
  std::map<std::string, Resources::Rdma> devices;
  if (!object.is_object()) return Error(Kind::InvalidArgument, "resources.rdma is not an object");
  for (const auto& [name, limits] : object.items()) {
    ObjectReader reader(limits, "an RDMA device");
    auto& device = devices[name];
    read_unsigned(reader, "hcaHandles", device.handles);
    read_unsigned(reader, "hcaObjects", device.objects);
    CHECK(std::move(reader).finish());
  }
  return devices;
}

}  // namespace

Result<Resources> parse_runtime_resources(const Json& object) {
  Resources resources;
  ObjectReader reader(object, "resources");
  reader.read_with("memory", resources.memory, parse_memory);
  reader.read_with("cpu", resources.cpu, parse_cpu);
  reader.read_with("blockIO", resources.block_io, parse_block_io);
  reader.read_with("pids", resources.pids_limit, [](const Json& pids) -> Result<std::optional<int64_t>> {
    std::optional<int64_t> limit;
    ObjectReader inner(pids, "pids");
    inner.read("limit", limit);
    CHECK(std::move(inner).finish());
    return limit;
  });
  reader.read_list("devices", resources.devices, parse_device_rule);
  std::vector<std::pair<std::string, uint64_t>> pages;
  reader.read_list("hugepageLimits", pages, [](const Json& page) -> Result<std::pair<std::string, uint64_t>> {
    std::pair<std::string, uint64_t> limit;
    ObjectReader inner(page, "a huge page limit");
    inner.read("pageSize", limit.first);
    read_unsigned(inner, "limit", limit.second);
    CHECK(std::move(inner).finish());
    return limit;
  });
  resources.hugepage_limits.insert(pages.begin(), pages.end());
  reader.read("unified", resources.unified);
  reader.read_with("network", resources.network, parse_network);
  if (const Json* rdma = reader.find("rdma")) {
    TRY(resources.rdma, parse_rdma(*rdma));
  }
  CHECK(std::move(reader).finish());
  return resources;
}

Result<RuntimeSpec> parse_runtime_spec(std::string_view text) {
  TRY(Json document, parse_json(text, {.max_bytes = kMaxConfig, .max_depth = kMaxDepth}));
  RuntimeSpec spec;
  spec.oci_version.clear();
  ObjectReader reader(document, "config.json");
  reader.read("ociVersion", spec.oci_version);
  reader.read_with("process", spec.process, parse_runtime_process);
  reader.read("hostname", spec.hostname);
  reader.read("domainname", spec.domainname);
  reader.read_list("mounts", spec.mounts, parse_mount);
  reader.read("annotations", spec.annotations);
  reader.read_with("hooks", spec.hooks, parse_hooks);
  if (const Json* root = reader.find("root")) CHECK(parse_root(*root, spec));
  if (const Json* linux_part = reader.find("linux")) CHECK(parse_linux(*linux_part, spec));
  CHECK(std::move(reader).finish());
  CHECK(check_version(spec.oci_version));
  if (spec.root.path.empty()) return Error(Kind::InvalidArgument, "config.json has no root.path");
  return spec;
}

}  // namespace berth::spec
