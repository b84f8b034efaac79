// plan_launch() and plan_exec(): from what is asked for to the steps that bring it about.
#include <linux/mount.h>
#include <linux/sched.h>
#include <sys/stat.h>

#include <algorithm>
#include <set>

#include "base/format.h"
#include "launch/mount_plan.h"
#include "launch/namespaces.h"
#include "launch/plan.h"
#include "launch/plan_builder.h"
#include "launch/process_plan.h"
#include "launch/restore_plan.h"
#include "launch/scheduling_plan.h"

namespace berth::launch {

Result<Slot> PlanBuilder::slot() {
  if (plan_.setup.slots >= kMaxSlots) return Error(Kind::Exhausted, "too many mounts");
  return plan_.setup.slots++;
}

namespace {

constexpr size_t kMaxId = 128;
/// Execs are born of a keeper that has lowered its score, if it could.
constexpr int kKeeperOomScore = -999;
constexpr uint32_t kDeviceMode = 0666;

struct DefaultDevice {
  const char* name;
  uint32_t major;
  uint32_t minor;
};
constexpr DefaultDevice kDefaultDevices[] = {{"null", 1, 3},   {"zero", 1, 5},    {"full", 1, 7},
                                             {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}};
constexpr std::pair<const char*, const char*> kDeviceLinks[] = {
    {"fd", "/proc/self/fd"},       {"stdin", "/proc/self/fd/0"}, {"stdout", "/proc/self/fd/1"},
    {"stderr", "/proc/self/fd/2"}, {"core", "/proc/kcore"},      {"ptmx", "pts/ptmx"}};

/// 0, the host's root, for what is not mapped: nobody inside owns it then.
uint32_t host_id(const std::vector<spec::IdMapping>& mappings, uint32_t id) {
  for (const auto& mapping : mappings)
    if (id >= mapping.container_id && id - mapping.container_id < mapping.size)
      return mapping.host_id + (id - mapping.container_id);
  return 0;
}

Result<void> plan_keyring(PlanBuilder& builder, const std::string& id) {
  TRY(Text name, builder.text("_ses." + id));
  builder.add(step::JoinKeyring{name});
  return {};
}

class LaunchPlanner {
 public:
  LaunchPlanner(const LaunchRequest& request, const HostFacts& host)
      : request_(request), spec_(request.spec), host_(host) {}

  Result<LaunchPlan> run() {
    CHECK(check());
    CHECK(plan_setup());
    CHECK(plan_groups());
    plan_every_cpu(builder_);
    CHECK(plan_namespaces());
    CHECK(plan_oom_score(builder_, spec_.process, host_, host_.oom_score_adj));
    CHECK(plan_filesystem());
    ProcessPlan process{.process = spec_.process,
                        .seccomp = spec_.seccomp,
                        .through_init = request_.init == InitMode::Berth,
                        .await_release = request_.start == StartMode::WhenReleased,
                        .personality = spec_.personality,
                        .explains_denials = request_.explains_denials,
                        .keeps_groups = request_.keeps_groups};
    if (spec_.memory_policy) process.memory_policy = &*spec_.memory_policy;
    if (!request_.keeps_keyring) CHECK(plan_keyring(builder_, request_.id));
    CHECK(plan_process(builder_, process, host_));
    return std::move(builder_).finish();
  }

  Result<LaunchPlan> run_criu(const RestoreProgram& program) {
    CHECK(plan_setup());
    builder_.setup().restores = 1;
    builder_.setup().wait_for_release = 1;
    builder_.setup().uses_init = 0;
    CHECK(plan_groups());
    plan_every_cpu(builder_);
    TRY(Text mounts, builder_.text(program.mount_namespace));
    builder_.add(step::JoinNamespace{CLONE_NEWNS, kNoSlot, mounts});
    builder_.add(step::StartSession{});
    TRY(Text path, builder_.text(program.criu));
    builder_.add(step::FindProgram{path, {}});
    step::Execute execute;
    TRY(execute.arguments, builder_.list({"criu", "swrk", std::to_string(kCriuSocket)}));
    TRY(execute.environment, builder_.list(program.environment));
    builder_.add(execute);
    return std::move(builder_).finish();
  }

 private:
  Result<void> check() {
    if (request_.id.empty() || request_.id.size() > kMaxId)
      return failure(Kind::InvalidArgument, "invalid container id \"{}\"", request_.id);
    CHECK(check_process(spec_.process));
    CHECK(check_namespaces(spec_.namespaces));
    if (shares_mounts() && !request_.may_share_mounts)
      return Error(Kind::Unsupported, "a container needs a mount namespace of its own");
    if (shares_mounts() && spec_.process.terminal)
      return Error(Kind::Unsupported,
                   "a container without a mount namespace of its own can have no terminal");
    bool user = is_new(spec_.namespaces, spec::NamespaceType::User);
    if (user && (spec_.uid_mappings.empty() || spec_.gid_mappings.empty()))
      return Error(Kind::InvalidArgument, "user namespaces enabled, but no uid or gid mappings found");
    if (is_new(spec_.namespaces, spec::NamespaceType::Time) && !host_.time_namespaces)
      return Error(Kind::Unsupported, "this kernel has no time namespaces (CONFIG_TIME_NS)");
    if (!spec_.time_offsets.empty() && !is_new(spec_.namespaces, spec::NamespaceType::Time))
      return Error(Kind::InvalidArgument, "timeOffsets need a new time namespace");
    if (spec_.intel_rdt) return Error(Kind::Unsupported, "intelRdt is the creator's affair");
    if (user && !host_.user_namespaces)
      return Error(Kind::Unsupported, "this kernel has no user namespaces (CONFIG_USER_NS)");
    return check_names();
  }

  bool shares_mounts() const {
    return find_namespace(spec_.namespaces, spec::NamespaceType::Mount) == nullptr;
  }

  Result<void> check_names() {
    if (!spec_.hostname.empty() && find_namespace(spec_.namespaces, spec::NamespaceType::Uts) == nullptr)
      return Error(Kind::InvalidArgument, "unable to set hostname without a private UTS namespace");
    if (spec_.hostname.size() > 64)
      return Error(Kind::InvalidArgument, "the hostname is longer than 64 bytes");
    return {};
  }

  Result<void> plan_setup() {
    auto& setup = builder_.setup();
    TRY(setup.id, builder_.text(request_.id));
    TRY(setup.exec_directory, builder_.text(request_.exec_directory));
    TRY(setup.exit_path, builder_.text(request_.exit_path));
    TRY(setup.oom_path, builder_.text(request_.oom_path));
    if (request_.log.mode == LogConfig::Mode::File) {
      TRY(setup.log_path, builder_.text(request_.log.path));
    }
    setup.log_max_size = request_.log.max_size;
    setup.log_max_files = request_.log.max_files;
    setup.terminal = spec_.process.terminal ? 1 : 0;
    setup.stdin_mode = static_cast<uint8_t>(request_.stdin_mode);
    setup.wait_for_release = request_.start == StartMode::WhenReleased ? 1 : 0;
    setup.uses_init = request_.init == InitMode::Berth ? 1 : 0;
    if (spec_.process.console_size) {
      setup.rows = spec_.process.console_size->height;
      setup.columns = spec_.process.console_size->width;
    }
    TRY(setup.uid_map, builder_.text(id_map_text(spec_.uid_mappings)));
    TRY(setup.gid_map, builder_.text(id_map_text(spec_.gid_mappings)));
    return {};
  }

  /// v2 groups are entered by clone3 itself; v1 groups by the process, before it unshares its cgroup
  /// namespace.
  Result<void> plan_groups() {
    for (const auto& group : request_.cgroups) {
      TRY(Text path, builder_.text(group.path));
      if (is_v2(group.path) && builder_.setup().cgroup.empty())
        builder_.setup().cgroup = path;
      else
        builder_.add(step::EnterCgroup{path});
    }
    return {};
  }

  bool is_v2(const std::string& path) const {
    const CgroupHierarchy* best = nullptr;
    for (const auto& hierarchy : host_.cgroups) {
      if (path != hierarchy.mount_point && !path.starts_with(hierarchy.mount_point + "/")) continue;
      if (best == nullptr || hierarchy.mount_point.size() > best->mount_point.size()) best = &hierarchy;
    }
    return best != nullptr && best->version == CgroupHierarchy::Version::V2;
  }

  Result<void> plan_namespaces() {
    CHECK(join(spec::NamespaceType::User));
    for (const auto& each : spec_.namespaces) {
      bool network_given = each.type == spec::NamespaceType::Network && request_.network_from_fd;
      if (each.type == spec::NamespaceType::User || network_given) continue;
      if (!each.path.empty())
        CHECK(join(each.type));
      else if (each.type == spec::NamespaceType::Time && !spec_.time_offsets.empty())
        CHECK(plan_time_offsets());
      else if (each.type != spec::NamespaceType::Cgroup)
        builder_.setup().clone_flags |= clone_flag(each.type);
    }
    if (is_new(spec_.namespaces, spec::NamespaceType::User)) builder_.setup().clone_flags |= CLONE_NEWUSER;
    // With a user namespace of its own the process could not join: it is born into the network namespace.
    if (request_.network_from_fd && !is_new(spec_.namespaces, spec::NamespaceType::User))
      builder_.add(step::JoinNamespace{CLONE_NEWNET, kSlotNetwork, {}});
    if (is_new(spec_.namespaces, spec::NamespaceType::Cgroup)) builder_.add(step::Unshare{CLONE_NEWCGROUP});
    if (!spec_.hostname.empty()) {
      TRY(Text name, builder_.text(spec_.hostname));
      builder_.add(step::SetHostname{name});
    }
    if (!spec_.domainname.empty()) {
      TRY(Text name, builder_.text(spec_.domainname));
      builder_.add(step::SetDomainname{name});
    }
    if (is_new(spec_.namespaces, spec::NamespaceType::Network) && !request_.network_from_fd)
      builder_.add(step::LoopbackUp{});
    return {};
  }

  Result<void> plan_time_offsets() {
    std::string text;
    for (const auto& [clock, offset] : spec_.time_offsets) {
      if (clock != "monotonic" && clock != "boottime")
        return failure(Kind::InvalidArgument, "invalid clock \"{}\" in timeOffsets", clock);
      text += fmt::format("{} {} {}\n", clock, offset.seconds, offset.nanoseconds);
    }
    TRY(builder_.setup().time_offsets, builder_.text(text));
    return {};
  }

  /// By path; a pid namespace has to be joined before the process is born.
  Result<void> join(spec::NamespaceType type) {
    const auto* found = find_namespace(spec_.namespaces, type);
    if (found == nullptr || found->path.empty()) return {};
    TRY(Text path, builder_.text(found->path));
    if (type == spec::NamespaceType::Pid)
      builder_.setup().pid_namespace = path;
    else
      builder_.add(step::JoinNamespace{clone_flag(type), kNoSlot, path});
    return {};
  }

  Result<void> plan_filesystem() {
    if (shares_mounts()) {
      CHECK(plan_proc_writes());
      if (request_.awaits_hooks) builder_.add(step::AwaitHooks{});
      return plan_change_root();
    }
    MountPlanner mounts(builder_, request_, host_);
    TRY(slots_, mounts.run());
    CHECK(plan_devices());
    CHECK(plan_terminal());
    CHECK(plan_proc_writes());
    if (spec_.process.cwd != "/") {
      TRY(Text directory, builder_.text(spec_.process.cwd));
      builder_.add(step::MakeDirectory{directory});
    }
    // Hooks may write to the root, as runc lets them: what is read-only and hidden is so after them.
    if (request_.awaits_hooks) builder_.add(step::AwaitHooks{});
    for (const auto& path : spec_.readonly_paths) {
      TRY(Text text, builder_.text(path));
      builder_.add(step::ReadonlyPath{text});
    }
    for (Slot slot : slots_.readonly_last)
      builder_.add(step::SetAttributes{.slot = slot, .set = MOUNT_ATTR_RDONLY});
    std::set<std::string> masked;
    for (const auto& path : spec_.masked_paths) {
      if (!masked.insert(clean_path(path)).second) continue;
      TRY(Text text, builder_.text(path));
      builder_.add(step::MaskPath{text, slots_.dev});
    }
    if (spec_.root.readonly) builder_.add(step::SetAttributes{.slot = slots_.root, .set = MOUNT_ATTR_RDONLY});
    builder_.add(step::PivotRoot{slots_.root, static_cast<uint8_t>(request_.moves_root ? 1 : 0)});
    return plan_root_propagation();
  }

  Result<void> plan_change_root() {
    const auto* directory = std::get_if<DirectoryRoot>(&request_.root);
    if (directory == nullptr) return Error(Kind::Unsupported, "layers need a mount namespace");
    TRY(Text path, builder_.text(directory->path));
    builder_.add(step::ChangeRoot{path});
    return {};
  }

  bool in_user_namespace() const {
    return !makes_device_nodes(host_) ||
           find_namespace(spec_.namespaces, spec::NamespaceType::User) != nullptr;
  }

  Result<void> plan_devices() {
    if (!slots_.dev_bound) {
      for (const auto& device : kDefaultDevices)
        CHECK(add_device({.path = fmt::format("/dev/{}", device.name),
                          .major = device.major,
                          .minor = device.minor,
                          .file_mode = kDeviceMode}));
    }
    for (const auto& device : spec_.devices) CHECK(add_device(device));
    if (slots_.dev_bound) return {};
    for (const auto& [name, target] : kDeviceLinks) {
      TRY(Text path, builder_.text(slots_.dev == kNoSlot ? fmt::format("dev/{}", name) : name));
      TRY(Text to, builder_.text(target));
      builder_.add(step::MakeSymlink{slots_.dev == kNoSlot ? slots_.root : slots_.dev, path, to});
    }
    return {};
  }

  Result<void> add_device(const spec::Device& device) {
    std::string path = clean_path(device.path);
    if (in_user_namespace() && device.type != 'p') {
      // Nodes cannot be made there; the host's own is bound instead.
      TRY(Slot slot, builder_.slot());
      TRY(Text source, builder_.text(path));
      if (request_.creator_prepares && makes_device_nodes(host_))
        builder_.add_node({.slot = slot,
                           .path = path,
                           .mode = (device.type == 'b' ? S_IFBLK : S_IFCHR) |
                                   (device.file_mode.value_or(kDeviceMode) & 07777),
                           .major = static_cast<uint32_t>(device.major),
                           .minor = static_cast<uint32_t>(device.minor),
                           .uid = host_id(spec_.uid_mappings, device.uid.value_or(0)),
                           .gid = host_id(spec_.gid_mappings, device.gid.value_or(0))});
      else
        builder_.add(step::OpenTree{slot, source, 0});
      builder_.add(step::SetAttributes{.slot = slot, .propagation = MS_PRIVATE});
      builder_.add(step::Attach{slot, source, static_cast<uint8_t>(TargetRule::Ordinary)});
      return {};
    }
    bool in_dev = slots_.dev != kNoSlot && path.starts_with("/dev/");
    TRY(Text name, builder_.text(path.substr(in_dev ? sizeof "/dev/" - 1 : 1)));
    uint32_t type = device.type == 'b' ? S_IFBLK : device.type == 'p' ? S_IFIFO : S_IFCHR;
    if (device.type != 'b' && device.type != 'p' && device.type != 'c' && device.type != 'u')
      return failure(Kind::InvalidArgument, "device {} has unknown type '{}'", device.path, device.type);
    builder_.add(step::MakeNode{.directory = in_dev ? slots_.dev : slots_.root,
                                .path = name,
                                .mode = type | (device.file_mode.value_or(kDeviceMode) & 07777),
                                .major = static_cast<uint32_t>(device.major),
                                .minor = static_cast<uint32_t>(device.minor),
                                .uid = device.uid.value_or(0),
                                .gid = device.gid.value_or(0)});
    return {};
  }

  Result<void> plan_terminal() {
    if (spec_.process.terminal) {
      TRY(Text console, builder_.text("/dev/console"));
      builder_.add(step::OpenConsole{slots_.devpts, console});
    } else if (request_.stdin_mode == StdinMode::Closed && !request_.inherits_stdio) {
      builder_.add(step::UseNull{in_user_namespace() ? kNoSlot : slots_.dev});
    }
    return {};
  }

  /// sysctls and security labels, through a procfs that nobody can have put anything into.
  Result<void> plan_proc_writes() {
    if (spec_.sysctl.empty() && !has_labels(spec_.process)) return {};
    Slot proc = slots_.proc;
    if (proc == kNoSlot) {
      TRY(proc, builder_.slot());
      TRY(Text type, builder_.text("proc"));
      builder_.add(step::NewFilesystem{.slot = proc, .type = type});
    }
    for (const auto& [key, value] : spec_.sysctl) {
      CHECK(check_sysctl(key, value));
      std::string path = key;
      if (path.find('/') == std::string::npos) std::ranges::replace(path, '.', '/');
      TRY(Text file, builder_.text("sys/" + path));
      TRY(Text text, builder_.text(value));
      builder_.add(step::WriteProc{proc, file, text});
    }
    return plan_labels(builder_, spec_.process, host_, proc);
  }

  Result<void> check_sysctl(const std::string& key, const std::string& value) {
    constexpr std::string_view kIpc[] = {"kernel.msgmax", "kernel.msgmnb",         "kernel.msgmni",
                                         "kernel.sem",    "kernel.shmall",         "kernel.shmmax",
                                         "kernel.shmmni", "kernel.shm_rmid_forced"};
    std::string name = key;
    std::ranges::replace(name, '/', '.');
    bool plain = std::ranges::all_of(name, [](char c) {
      return std::isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' || c == '-';
    });
    if (!plain || name.find("..") != std::string::npos || name.starts_with('.'))
      return failure(Kind::InvalidArgument, "invalid sysctl \"{}\"", key);
    if (value.find('\n') != std::string::npos)
      return failure(Kind::InvalidArgument, "sysctl \"{}\": the value must be one line", key);
    auto own = [&](spec::NamespaceType type) { return find_namespace(spec_.namespaces, type) != nullptr; };
    bool ipc = std::ranges::find(kIpc, name) != std::end(kIpc) || name.starts_with("fs.mqueue.");
    bool held =
        (ipc && own(spec::NamespaceType::Ipc)) ||
        (name.starts_with("net.") && (own(spec::NamespaceType::Network) || request_.network_from_fd)) ||
        ((name == "kernel.hostname" || name == "kernel.domainname") && own(spec::NamespaceType::Uts)) ||
        (name.starts_with("user.") && own(spec::NamespaceType::User));
    if (!held)
      return failure(Kind::InvalidArgument, "sysctl \"{}\" is not in a separate kernel namespace", key);
    return check_names_of_fields(name, value);
  }

  /// Names for which the configuration has fields of their own.
  Result<void> check_names_of_fields(std::string_view name, const std::string& value) {
    if (name == "kernel.hostname")
      return Error(Kind::InvalidArgument,
                   "sysctl \"kernel.hostname\" is not allowed: the name is what the field hostname says");
    if (name == "kernel.domainname" && !spec_.domainname.empty() && spec_.domainname != value)
      return failure(Kind::InvalidArgument,
                     "sysctl \"kernel.domainname\" is \"{}\", but the field domainname says \"{}\"", value,
                     spec_.domainname);
    return {};
  }

  /// Behind the pivot, which a shared mount would forbid.
  Result<void> plan_root_propagation() {
    const std::string& name = spec_.rootfs_propagation;
    std::string bare = name.starts_with('r') ? name.substr(1) : name;
    uint32_t flag = bare == "shared"                    ? uint32_t{MS_SHARED}
                    : bare == "slave"                   ? uint32_t{MS_SLAVE}
                    : bare == "unbindable"              ? uint32_t{MS_UNBINDABLE}
                    : bare == "private" || bare.empty() ? uint32_t{MS_PRIVATE}
                                                        : 0;
    if (flag == 0) return failure(Kind::InvalidArgument, "rootfsPropagation={} is not supported", name);
    bool recursive = name != bare;
    if (flag != MS_PRIVATE) builder_.add(step::SetPropagation{flag | (recursive ? uint32_t{MS_REC} : 0)});
    return {};
  }

  const LaunchRequest& request_;
  const spec::RuntimeSpec& spec_;
  const HostFacts& host_;
  PlanBuilder builder_;
  MountSlots slots_;
};

}  // namespace

Result<LaunchPlan> plan_launch(const LaunchRequest& request, const HostFacts& host) {
  return LaunchPlanner(request, host).run();
}

Result<LaunchPlan> plan_restore(const LaunchRequest& request, const RestoreProgram& program,
                                const HostFacts& host) {
  return LaunchPlanner(request, host).run_criu(program);
}

Result<ExecPlan> plan_exec(const ExecRequest& request, const HostFacts& host) {
  PlanBuilder builder;
  CHECK(check_process(request.process));
  auto& setup = builder.setup();
  TRY(setup.id, builder.text(request.token));
  setup.join_container = 1;
  setup.terminal = request.process.terminal ? 1 : 0;
  setup.stdin_mode = static_cast<uint8_t>(request.stdin_mode);
  if (request.process.console_size) {
    setup.rows = request.process.console_size->height;
    setup.columns = request.process.console_size->width;
  }
  CHECK(plan_affinity(builder, request.process.exec_cpu_affinity.initial));
  for (const auto& group : request.cgroups) {
    TRY(Text path, builder.text(group.path));
    builder.add(step::EnterCgroup{path});
  }
  if (request.process.exec_cpu_affinity.final_cpus.empty())
    plan_every_cpu(builder);
  else
    CHECK(plan_affinity(builder, request.process.exec_cpu_affinity.final_cpus));
  spec::Process scored;
  scored.oom_score_adj = request.process.oom_score_adj.value_or(host.oom_score_adj);
  CHECK(plan_oom_score(builder, scored, host, kKeeperOomScore));
  uint32_t types = request.network_from_fd ? uint32_t{CLONE_NEWNET} : 0;
  for (const auto& each : request.namespaces)
    // The pid namespace it is born into.
    if (each.type != spec::NamespaceType::Pid) types |= clone_flag(each.type);
  builder.add(step::JoinContainer{types | CLONE_NEWNS});
  if (has_labels(request.process)) {
    TRY(Slot proc, builder.slot());
    TRY(Text type, builder.text("proc"));
    builder.add(step::NewFilesystem{.slot = proc, .type = type});
    CHECK(plan_labels(builder, request.process, host, proc));
  }
  if (request.process.terminal)
    builder.add(step::OpenConsole{kNoSlot, {}});
  else if (request.stdin_mode == StdinMode::Closed)
    builder.add(step::UseNull{kNoSlot});
  if (!request.container_id.empty()) CHECK(plan_keyring(builder, request.container_id));
  std::optional<spec::Seccomp> seccomp = request.seccomp;
  ProcessPlan process{.process = request.process,
                      .seccomp = seccomp,
                      .explains_denials = request.explains_denials,
                      .keeps_groups = request.keeps_groups};
  process.personality = request.personality;
  if (request.memory_policy) process.memory_policy = &*request.memory_policy;
  CHECK(plan_process(builder, process, host));
  return std::move(builder).finish();
}

}  // namespace berth::launch
