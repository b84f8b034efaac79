// Docker's configuration to the OCI runtime specification.
#include "engine/plan_container.h"

#include <algorithm>
#include <charconv>
#include <map>

#include "base/format.h"
#include "engine/container_limits.h"
#include "engine/plan_mounts.h"
#include "engine/user_namespace.h"
#include "launch/apparmor.h"
#include "launch/defaults.h"

namespace berth::engine {
namespace {

constexpr std::string_view default_path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

std::string_view variable_name(std::string_view entry) {
  return entry.substr(0, entry.find('='));
}

std::vector<std::string> environment_of(const ContainerRecord& record) {
  std::vector<std::string> env = {std::string(default_path), "HOSTNAME=" + record.config.hostname};
  if (record.config.tty) env.push_back("TERM=xterm");
  override_environment(env, record.config.env);
  return env;
}

/// Names that setrlimit(2) knows, as docker spells them.
Result<std::vector<spec::Rlimit>> rlimits_of(const std::vector<spec::Ulimit>& ulimits) {
  static constexpr std::string_view known[] = {
      "as",   "core",   "cpu",   "data", "fsize",  "locks",  "memlock",    "msgqueue",
      "nice", "nofile", "nproc", "rss",  "rtprio", "rttime", "sigpending", "stack"};
  std::vector<spec::Rlimit> limits;
  for (const spec::Ulimit& ulimit : ulimits) {
    if (std::find(std::begin(known), std::end(known), ulimit.name) == std::end(known)) {
      return failure(Kind::InvalidArgument, "invalid ulimit type: {}", ulimit.name);
    }
    bool contradictory = ulimit.hard != -1 && (ulimit.soft == -1 || ulimit.soft > ulimit.hard);
    if (contradictory) {
      return failure(Kind::InvalidArgument,
                     "ulimit soft limit must be less than or equal to hard limit: {} > {}", ulimit.soft,
                     ulimit.hard);
    }
    spec::Rlimit limit;
    limit.type = "RLIMIT_";
    for (char c : ulimit.name) limit.type.push_back(static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c));
    limit.hard = static_cast<uint64_t>(ulimit.hard);
    limit.soft = static_cast<uint64_t>(ulimit.soft);
    limits.push_back(std::move(limit));
  }
  return limits;
}

void set_namespace(spec::RuntimeSpec& spec, spec::NamespaceType type, std::string path) {
  auto same = [&](const spec::Namespace& entry) { return entry.type == type; };
  std::erase_if(spec.namespaces, same);
  spec.namespaces.push_back({type, std::move(path)});
}
void share_with_host(spec::RuntimeSpec& spec, spec::NamespaceType type) {
  std::erase_if(spec.namespaces, [&](const spec::Namespace& entry) { return entry.type == type; });
}

Result<void> plan_namespaces(const ContainerRecord& record, const JoinedNamespaces& joined,
                             spec::RuntimeSpec& spec) {
  const spec::HostConfig& host_config = record.host_config;
  using Mode = NamespaceMode::Kind;
  TRY(NamespaceMode network, parse_namespace_mode(host_config.network_mode, "network mode"));
  TRY(NamespaceMode ipc, parse_namespace_mode(host_config.ipc_mode, "IPC mode"));
  TRY(NamespaceMode pid, parse_namespace_mode(host_config.pid_mode, "PID mode"));
  TRY(NamespaceMode uts, parse_namespace_mode(host_config.uts_mode, "UTS mode"));
  TRY(NamespaceMode cgroup, parse_namespace_mode(host_config.cgroupns_mode, "cgroup namespace mode"));
  TRY(UserMaps users, user_maps(host_config));
  if (users) {
    set_namespace(spec, spec::NamespaceType::User, {});
    spec.uid_mappings = std::move(users.uids);
    spec.gid_mappings = std::move(users.gids);
  }
  if (network.kind == Mode::Host) share_with_host(spec, spec::NamespaceType::Network);
  if (!joined.network.empty()) set_namespace(spec, spec::NamespaceType::Network, joined.network);
  if (ipc.kind == Mode::Host) share_with_host(spec, spec::NamespaceType::Ipc);
  if (!joined.ipc.empty()) set_namespace(spec, spec::NamespaceType::Ipc, joined.ipc);
  if (pid.kind == Mode::Host) share_with_host(spec, spec::NamespaceType::Pid);
  if (!joined.pid.empty()) set_namespace(spec, spec::NamespaceType::Pid, joined.pid);
  if (cgroup.kind == Mode::Host) share_with_host(spec, spec::NamespaceType::Cgroup);
  if (uts.kind == Mode::Host) {
    share_with_host(spec, spec::NamespaceType::Uts);
    spec.hostname.clear();
    spec.domainname.clear();
  }
  return {};
}

/// Kernel parameters that belong to a namespace of the container's own; others would change the host.
Result<void> check_sysctls(const ContainerRecord& record) {
  static constexpr std::string_view ipc_names[] = {"kernel.msgmax", "kernel.msgmnb",         "kernel.msgmni",
                                                   "kernel.sem",    "kernel.shmall",         "kernel.shmmax",
                                                   "kernel.shmmni", "kernel.shm_rmid_forced"};
  for (const auto& [name, value] : record.host_config.sysctls) {
    bool ipc = std::find(std::begin(ipc_names), std::end(ipc_names), name) != std::end(ipc_names) ||
               name.starts_with("fs.mqueue.");
    bool network = name.starts_with("net.");
    bool uts = name == "kernel.domainname";
    if (network && record.host_config.network_mode == "host") {
      return failure(Kind::InvalidArgument, "sysctl '{}' not allowed in host network namespace", name);
    }
    if (ipc && record.host_config.ipc_mode == "host") {
      return failure(Kind::InvalidArgument, "sysctl '{}' not allowed in host ipc namespace", name);
    }
    bool malformed = name.find('/') != std::string::npos || name.find("..") != std::string::npos;
    if ((!ipc && !network && !uts) || malformed) {
      return failure(Kind::InvalidArgument, "sysctl \"{}\" is not in a separate kernel namespace", name);
    }
  }
  return {};
}

Result<void> plan_devices(const ContainerRecord& record, spec::RuntimeSpec& spec) {
  const spec::ContainerResources& resources = record.host_config.resources;
  for (const spec::DeviceMapping& mapping : resources.devices) {
    std::string inside = mapping.path_in_container.empty() ? mapping.path_on_host : mapping.path_in_container;
    TRY(auto devices, launch::devices_from_host(mapping.path_on_host, inside));
    std::string access = mapping.cgroup_permissions.empty() ? "rwm" : mapping.cgroup_permissions;
    for (spec::Device& device : devices) {
      if (!record.host_config.privileged) {
        spec.resources.devices.push_back({true, device.type, device.major, device.minor, access});
      }
      std::erase_if(spec.devices, [&](const spec::Device& other) { return other.path == device.path; });
      spec.devices.push_back(std::move(device));
    }
  }
  for (const std::string& text : resources.device_cgroup_rules) {
    TRY(spec::DeviceRule rule, parse_device_rule(text));
    spec.resources.devices.push_back(rule);
  }
  return {};
}

/// Of docker's set, a hardened container lacks those that ordinary services never use, unless they are asked
/// for by name.
Result<spec::StringList> dropped_capabilities(const spec::HostConfig& host, SecurityProfile profile) {
  spec::StringList dropped = host.cap_drop;
  if (profile == SecurityProfile::Default) return dropped;
  for (const char* name : {"AUDIT_WRITE", "MKNOD", "NET_RAW", "SETFCAP", "SETPCAP", "SYS_CHROOT", "FSETID"}) {
    bool wanted = std::ranges::any_of(host.cap_add, [&](const std::string& added) {
      std::string upper = added;
      for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
      return upper == name || upper == std::string("CAP_") + name;
    });
    if (!wanted) dropped.emplace_back(name);
  }
  return dropped;
}

/// The root is read-only, and what programs cannot do without is memory, unless something is mounted there.
void harden_root(const ContainerRecord& record, spec::RuntimeSpec& spec) {
  spec.root.readonly = true;
  auto taken = [&](const std::string& path) {
    auto at_path = [&](const MountPoint& mount) { return mount.destination == path; };
    return std::ranges::any_of(record.mounts, at_path) || record.host_config.tmpfs.contains(path);
  };
  for (const auto& [path, mode] :
       {std::pair{"/tmp", "mode=1777"}, std::pair{"/var/tmp", "mode=1777"}, std::pair{"/run", "mode=755"}}) {
    if (taken(path)) continue;
    spec.mounts.push_back({.destination = path,
                           .type = "tmpfs",
                           .source = "tmpfs",
                           .options = {"nosuid", "nodev", "noexec", "size=64m", mode}});
  }
}

Result<void> plan_security(const ContainerRecord& record, const launch::HostFacts& host,
                           ContainerPlan& plan) {
  const spec::HostConfig& host_config = record.host_config;
  spec::RuntimeSpec& spec = plan.spec;
  TRY(SecurityOptions options, parse_security_options(host_config.security_opt));
  bool hardened = options.profile == SecurityProfile::Hardened;
  if (hardened && host_config.privileged)
    return Error(Kind::InvalidArgument,
                 "conflicting options: a container cannot be both hardened and privileged");
  TRY(auto dropped, dropped_capabilities(host_config, options.profile));
  TRY(auto capabilities,
      launch::resolve_capabilities(host_config.cap_add, dropped, host_config.privileged, host));
  launch::set_capabilities(spec.process, capabilities);
  spec.process.no_new_privileges = options.no_new_privileges.value_or(hardened);
  plan.explains_denials = options.explain_denials;
  if (hardened) harden_root(record, spec);
  if (options.unconfined_system_paths || host_config.masked_paths)
    spec.masked_paths = host_config.masked_paths.value_or(spec::StringList{});
  if (options.unconfined_system_paths || host_config.readonly_paths)
    spec.readonly_paths = host_config.readonly_paths.value_or(spec::StringList{});
  const std::string profile = options.seccomp.value_or("");
  // Privileges take the profile of every container away, not one that was asked for (moby#47499).
  if (profile == "unconfined" || (profile.empty() && host_config.privileged)) {
    spec.seccomp.reset();
  } else if (profile.empty() || profile == "builtin") {
    spec.seccomp =
        hardened ? launch::hardened_seccomp(capabilities, host) : launch::default_seccomp(capabilities, host);
  } else {
    TRY(spec.seccomp, launch::parse_seccomp_profile(profile, capabilities, host));
  }
  if (options.writable_cgroups) {
    for (spec::Mount& mount : spec.mounts) {
      if (mount.destination == "/sys/fs/cgroup") std::erase(mount.options, "ro");
    }
  }
  bool wants_apparmor = !options.apparmor.empty() && options.apparmor != "unconfined";
  if (wants_apparmor && host.apparmor) {
    if (launch::apparmor_profile_state(options.apparmor) == launch::ProfileState::NotLoaded) {
      return failure(Kind::InvalidArgument,
                     "AppArmor profile \"{}\" is not loaded: load it with apparmor_parser --replace FILE",
                     options.apparmor);
    }
    spec.process.apparmor_profile = options.apparmor;
  }
  if (host.apparmor && options.apparmor.empty() && !host_config.privileged)
    spec.process.apparmor_profile = launch::default_apparmor_profile();
  if (wants_apparmor && !host.apparmor) {
    plan.warnings.push_back("AppArmor is not enabled on this host: the profile \"" + options.apparmor +
                            "\" is not applied.");
  }
  bool wants_label = std::any_of(options.labels.begin(), options.labels.end(),
                                 [](const std::string& label) { return label != "disable"; });
  if (wants_label && !host.selinux)
    plan.warnings.push_back("SELinux is not enabled on this host: security labels are not applied.");
  return {};
}

Result<void> plan_process(const ContainerRecord& record, spec::RuntimeSpec& spec) {
  spec::Process& process = spec.process;
  process.terminal = record.config.tty;
  const auto& size = record.host_config.console_size;
  if (process.terminal && size[0] > 0 && size[1] > 0)
    process.console_size = spec::ConsoleSize{size[0], size[1]};
  process.cwd = record.config.working_dir.empty() ? "/" : record.config.working_dir;
  process.env = environment_of(record);
  process.args.assign(1, record.path);
  process.args.insert(process.args.end(), record.args.begin(), record.args.end());
  if (record.path.empty()) return Error(Kind::InvalidArgument, "no command specified");
  // No user is root, with the groups that the container's files give it.
  process.user.name = record.config.user;
  process.user.additional_groups = record.host_config.group_add;
  TRY(process.rlimits, rlimits_of(record.host_config.resources.ulimits));
  int oom = record.host_config.oom_score_adj;
  if (oom < -1000 || oom > 1000) {
    return failure(Kind::InvalidArgument, "Invalid value {}, range for oom score adj is [-1000, 1000].", oom);
  }
  if (oom != 0) process.oom_score_adj = oom;
  return {};
}

}  // namespace

void override_environment(std::vector<std::string>& env, const std::vector<std::string>& changes) {
  for (const std::string& change : changes) {
    auto same = [&](const std::string& entry) { return variable_name(entry) == variable_name(change); };
    auto found = std::find_if(env.begin(), env.end(), same);
    if (change.find('=') == std::string::npos) {
      if (found != env.end()) env.erase(found);
    } else if (found != env.end()) {
      *found = change;
    } else {
      env.push_back(change);
    }
  }
}

Result<NamespaceMode> parse_namespace_mode(std::string_view text, std::string_view what) {
  using Mode = NamespaceMode::Kind;
  if (text.empty() || text == "default") return NamespaceMode{Mode::Default};
  if (text == "host") return NamespaceMode{Mode::Host};
  if (text == "private") return NamespaceMode{Mode::Private};
  if (text == "shareable") return NamespaceMode{Mode::Shareable};
  if (text == "none") return NamespaceMode{Mode::None};
  if (text.starts_with("container:")) {
    std::string name(text.substr(10));
    if (name.empty()) return failure(Kind::InvalidArgument, "invalid {}: {}", what, text);
    return NamespaceMode{Mode::Container, std::move(name)};
  }
  if (what == "network mode") return NamespaceMode{Mode::Named, std::string(text)};
  return failure(Kind::InvalidArgument, "invalid {}: {}", what, text.substr(0, 100));
}

Result<SecurityOptions> parse_security_options(const std::vector<std::string>& options) {
  SecurityOptions parsed;
  for (const std::string& option : options) {
    if (option == "no-new-privileges") {
      parsed.no_new_privileges = true;
      continue;
    }
    if (option == "writable-cgroups") {
      parsed.writable_cgroups = true;
      continue;
    }
    size_t split = option.find('=');
    if (split == std::string::npos) split = option.find(':');  // docker's old separator
    if (split == std::string::npos)
      return failure(Kind::InvalidArgument, "invalid --security-opt 1: \"{}\"", option.substr(0, 200));
    std::string_view name = std::string_view(option).substr(0, split);
    std::string value = option.substr(split + 1);
    bool truth = value == "true" || value == "1";
    bool is_boolean = truth || value == "false" || value == "0";
    if (name == "no-new-privileges" && is_boolean) {
      parsed.no_new_privileges = truth;
    } else if (name == "seccomp") {
      parsed.seccomp = std::move(value);
    } else if (name == "apparmor") {
      parsed.apparmor = std::move(value);
    } else if (name == "label") {
      parsed.labels.push_back(std::move(value));
    } else if (name == "security" && (value == "hardened" || value == "default")) {
      parsed.profile = value == "hardened" ? SecurityProfile::Hardened : SecurityProfile::Default;
    } else if (name == "explain-denials" && is_boolean) {
      parsed.explain_denials = truth;
    } else if (name == "systempaths" && value == "unconfined") {
      parsed.unconfined_system_paths = true;
    } else if (name == "writable-cgroups" && is_boolean) {
      parsed.writable_cgroups = truth;
    } else {
      return failure(Kind::InvalidArgument, "invalid --security-opt 2: \"{}\"", option.substr(0, 200));
    }
  }
  return parsed;
}

Result<ContainerPlan> plan_container(const ContainerRecord& record, const JoinedNamespaces& joined,
                                     const launch::HostFacts& host) {
  ContainerPlan plan;
  plan.spec = launch::default_container_spec(host);
  spec::RuntimeSpec& spec = plan.spec;
  if (record.host_config.privileged) {
    launch::make_privileged(spec, host);
    TRY(spec.devices, launch::host_devices());
  }
  spec.hostname = record.config.hostname;
  spec.domainname = record.config.domainname;
  spec.root.readonly = record.host_config.readonly_rootfs;
  spec.annotations = record.host_config.annotations;
  CHECK(plan_process(record, spec));
  CHECK(plan_namespaces(record, joined, spec));
  CHECK(plan_devices(record, spec));
  CHECK(plan_security(record, host, plan));
  CHECK(check_sysctls(record));
  spec.sysctl = record.host_config.sysctls;
  CHECK(plan_mounts(record, spec));
  if (record.host_config.init.value_or(false)) plan.init = launch::InitMode::Berth;
  return plan;
}

Result<spec::Process> plan_exec(const ContainerRecord& record, const spec::ExecConfig& exec,
                                const spec::Process& init, const launch::HostFacts& host) {
  if (exec.cmd.empty() || exec.cmd[0].empty())
    return Error(Kind::InvalidArgument, "No exec command specified");
  spec::Process process;
  process.args = exec.cmd;
  process.terminal = exec.tty;
  if (exec.tty && exec.console_size)
    process.console_size = spec::ConsoleSize{(*exec.console_size)[0], (*exec.console_size)[1]};
  process.env = {std::string(default_path), "HOSTNAME=" + record.config.hostname};
  if (exec.tty) process.env.push_back("TERM=xterm");
  override_environment(process.env, record.config.env);
  override_environment(process.env, exec.env);
  process.cwd = !exec.working_dir.empty() ? exec.working_dir : init.cwd;
  if (process.cwd.front() != '/')
    return failure(Kind::InvalidArgument,
                   "exec: the working directory '{}' is invalid, it needs to be an absolute path",
                   process.cwd);
  process.user.name = exec.user.empty() ? record.config.user : exec.user;
  process.user.additional_groups = record.host_config.group_add;
  process.capabilities = init.capabilities;
  if (exec.privileged) launch::set_capabilities(process, launch::all_capabilities(host));
  process.no_new_privileges = init.no_new_privileges;
  process.rlimits = init.rlimits;
  process.apparmor_profile = exec.privileged ? "" : init.apparmor_profile;
  process.oom_score_adj = init.oom_score_adj;
  return process;
}

}  // namespace berth::engine
