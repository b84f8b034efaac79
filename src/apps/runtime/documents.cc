// features, spec.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "apps/runtime/flags.h"
#include "apps/runtime/settings.h"
#include "base/format.h"
#include "base/json.h"
#include "launch/capability_names.h"
#include "launch/host_facts.h"
#include "sys/file.h"

namespace berth::runtime {
namespace {

constexpr Flag kSpecFlags[] = {{"bundle", FlagKind::Value, 'b'}, {"rootless", FlagKind::Switch}};

const Json kMountOptions = {"async",         "atime",        "bind",
                            "defaults",      "dev",          "diratime",
                            "dirsync",       "exec",         "idmap",
                            "iversion",      "lazytime",     "loud",
                            "mand",          "noatime",      "nodev",
                            "nodiratime",    "noexec",       "noiversion",
                            "nolazytime",    "nomand",       "norelatime",
                            "nostrictatime", "nosuid",       "nosymfollow",
                            "private",       "ratime",       "rbind",
                            "rdev",          "rdiratime",    "relatime",
                            "remount",       "rexec",        "ridmap",
                            "rnoatime",      "rnodev",       "rnodiratime",
                            "rnoexec",       "rnorelatime",  "rnostrictatime",
                            "rnosuid",       "rnosymfollow", "ro",
                            "rprivate",      "rrelatime",    "rro",
                            "rrw",           "rshared",      "rslave",
                            "rstrictatime",  "rsuid",        "rsymfollow",
                            "runbindable",   "rw",           "shared",
                            "silent",        "slave",        "strictatime",
                            "suid",          "symfollow",    "sync",
                            "tmpcopyup",     "unbindable"};

Json capability_list(int last) {
  Json names = Json::array();
  for (int number = 0; number <= last && number < launch::kKnownCapabilities; ++number)
    names.push_back(launch::capability_name(number));
  return names;
}

bool has_v1(const launch::HostFacts& host) {
  for (const auto& hierarchy : host.cgroups)
    if (hierarchy.version == launch::CgroupHierarchy::Version::V1) return true;
  return false;
}

bool has_controller(const launch::HostFacts& host, std::string_view name) {
  for (const auto& hierarchy : host.cgroups)
    for (const auto& controller : hierarchy.controllers)
      if (controller == name) return true;
  return false;
}

Json seccomp_features(const launch::HostFacts& host) {
  Json archs = host.architecture == launch::Architecture::Aarch64
                   ? Json{"SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"}
                   : Json{"SCMP_ARCH_X32", "SCMP_ARCH_X86", "SCMP_ARCH_X86_64"};
  Json flags = {"SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_TSYNC",
                "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"};
  return {{"enabled", host.seccomp_filter},
          {"actions",
           {"SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS",
            "SCMP_ACT_KILL_THREAD", "SCMP_ACT_LOG", "SCMP_ACT_NOTIFY", "SCMP_ACT_TRACE", "SCMP_ACT_TRAP"}},
          {"operators",
           {"SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT", "SCMP_CMP_MASKED_EQ",
            "SCMP_CMP_NE"}},
          {"archs", archs},
          {"knownFlags", flags},
          {"supportedFlags", flags}};
}

Json features_of(const launch::HostFacts& host) {
  Json namespaces = {"cgroup", "ipc", "mount", "network", "pid", "uts"};
  if (host.time_namespaces) namespaces.push_back("time");
  if (host.user_namespaces) namespaces.push_back("user");
  Json linux_part = {{"namespaces", namespaces},
                     {"capabilities", capability_list(host.last_capability)},
                     {"cgroup",
                      {{"v1", has_v1(host)},
                       {"v2", !has_v1(host) && !host.cgroups.empty()},
                       {"systemd", true},
                       {"systemdUser", true},
                       {"rdma", has_controller(host, "rdma")}}},
                     {"seccomp", seccomp_features(host)},
                     {"apparmor", {{"enabled", host.apparmor}}},
                     {"selinux", {{"enabled", host.selinux}}},
                     {"intelRdt", {{"enabled", true}, {"schemata", true}, {"monitoring", true}}},
                     {"memoryPolicy",
                      {{"modes",
                        {"MPOL_BIND", "MPOL_DEFAULT", "MPOL_INTERLEAVE", "MPOL_LOCAL", "MPOL_PREFERRED",
                         "MPOL_PREFERRED_MANY", "MPOL_WEIGHTED_INTERLEAVE"}},
                       {"flags", {"MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"}}}},
                     {"mountExtensions", {{"idmap", {{"enabled", true}}}}},
                     {"netDevices", {{"enabled", true}}}};
  return {
      {"ociVersionMin", "1.0.0"},
      {"ociVersionMax", "1.3.0"},
      {"hooks", {"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"}},
      {"mountOptions", kMountOptions},
      {"linux", linux_part},
      {"annotations", {{"io.berth.runtime.version", BERTH_VERSION}}}};
}

/// What `spec` writes: a shell in a rootfs beside it.
Json example_config(bool rootless, bool cgroup_v2_alone) {
  Json capabilities = {"CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"};
  Json namespaces = {{{"type", "pid"}}, {{"type", "ipc"}}, {{"type", "uts"}}, {{"type", "mount"}}};
  // As runc's: on cgroup v1 programs expect to see where they are.
  if (cgroup_v2_alone) namespaces.push_back({{"type", "cgroup"}});
  if (rootless)
    namespaces.push_back({{"type", "user"}});
  else
    namespaces.push_back({{"type", "network"}});
  auto mount = [](const char* at, const char* type, const char* source, Json options) {
    return Json{{"destination", at}, {"type", type}, {"source", source}, {"options", std::move(options)}};
  };
  Json pts = {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"};
  if (!rootless) pts.push_back("gid=5");
  Json mounts = {
      mount("/proc", "proc", "proc", Json::array()),
      mount("/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}),
      mount("/dev/pts", "devpts", "devpts", pts),
      mount("/dev/shm", "tmpfs", "shm", {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}),
      mount("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}),
      rootless ? mount("/sys", "none", "/sys", {"rbind", "nosuid", "noexec", "nodev", "ro"})
               : mount("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}),
      mount("/sys/fs/cgroup", "cgroup", "cgroup", {"nosuid", "noexec", "nodev", "relatime", "ro"})};
  Json linux_part = {
      {"namespaces", namespaces},
      {"maskedPaths",
       {"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
        "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi"}},
      {"readonlyPaths", {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}}};
  if (rootless) {
    linux_part["uidMappings"] = Json::array({{{"containerID", 0}, {"hostID", ::geteuid()}, {"size", 1}}});
    linux_part["gidMappings"] = Json::array({{{"containerID", 0}, {"hostID", ::getegid()}, {"size", 1}}});
  } else {
    linux_part["resources"] = {{"devices", Json::array({{{"allow", false}, {"access", "rwm"}}})}};
  }
  return {{"ociVersion", "1.3.0"},
          {"process",
           {{"terminal", true},
            {"user", {{"uid", 0}, {"gid", 0}}},
            {"args", {"sh"}},
            {"env", {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"}},
            {"cwd", "/"},
            {"capabilities",
             {{"bounding", capabilities}, {"effective", capabilities}, {"permitted", capabilities}}},
            {"rlimits", Json::array({{{"type", "RLIMIT_NOFILE"}, {"hard", 1024}, {"soft", 1024}}})},
            {"noNewPrivileges", true}}},
          {"root", {{"path", "rootfs"}, {"readonly", true}}},
          {"hostname", "berth"},
          {"mounts", mounts},
          {"linux", linux_part}};
}

}  // namespace

Result<int> features(const Settings&, const std::vector<std::string>& words) {
  CHECK(CommandLine::parse(words, {}));
  TRY(auto host, launch::detect_host_facts());
  CHECK(sys::write_all(STDOUT_FILENO, to_pretty_json(features_of(host), 2) + "\n"));
  return 0;
}

Result<int> spec(const Settings&, const std::vector<std::string>& words) {
  TRY(auto line, CommandLine::parse(words, kSpecFlags));
  std::string path = line.has("bundle") ? line.text("bundle") + "/config.json" : "config.json";
  if (::access(path.c_str(), F_OK) == 0)
    return failure(Kind::AlreadyExists, "file {} exists: remove it first", path);
  TRY(auto host, launch::detect_host_facts());
  bool v2 = !has_v1(host) && !host.cgroups.empty();
  CHECK(
      sys::write_file_atomic(path, to_pretty_json(example_config(line.on("rootless"), v2), 1) + "\n", 0666));
  return 0;
}

}  // namespace berth::runtime
