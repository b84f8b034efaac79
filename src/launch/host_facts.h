// What this host's kernel offers, gathered once and handed to the planners, which stay pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace berth::launch {

/// One mounted cgroup hierarchy of the host.
struct CgroupHierarchy {
  enum class Version { V1, V2 };
  Version version = Version::V2;
  std::string mount_point;               ///< "/sys/fs/cgroup/memory"
  std::vector<std::string> controllers;  ///< v1: {"cpu", "cpuacct"} or {"name=systemd"}; v2: what it offers
};

struct KernelVersion {
  int major = 0;
  int minor = 0;
  auto operator<=>(const KernelVersion&) const = default;
};

enum class Architecture { X86_64, Aarch64 };

struct HostFacts {
  KernelVersion kernel;
  Architecture architecture = Architecture::X86_64;
  uint64_t capabilities = 0;  ///< bit n: capability n is in berth's own permitted and bounding sets
  int last_capability = 0;    ///< highest capability number the kernel knows
  std::vector<CgroupHierarchy> cgroups;
  int oom_score_adj = 0;        ///< berth's own, which a new process begins with
  bool seccomp_filter = false;  ///< the kernel takes seccomp filters
  bool apparmor = false;        ///< AppArmor is the active module
  bool selinux = false;
  bool user_namespaces = false;
  bool time_namespaces = false;
  bool resctrl = false;  ///< /sys/fs/resctrl is mounted
  /// Sensitive directories that exist once per cpu (/sys/devices/system/cpu/cpu*/thermal_throttle).
  std::vector<std::string> thermal_throttle_paths;
};

/// Reads /proc and /sys. Unsupported, in one line that names the feature, when the kernel lacks something
/// that berth cannot do without (5.12 is the oldest that has everything: mount_setattr).
Result<HostFacts> detect_host_facts();

}  // namespace berth::launch
