// Reading the host's facts from /proc and /sys.
#include "launch/host_facts.h"

#include <dirent.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <sstream>

#include "base/format.h"

namespace berth::launch {
namespace {

std::string read_text(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

bool exists(const char* path) {
  return ::access(path, F_OK) == 0;
}

Result<KernelVersion> kernel_version(const utsname& name) {
  KernelVersion version;
  if (std::sscanf(name.release, "%d.%d", &version.major, &version.minor) != 2) {
    return failure(Kind::Unsupported, "cannot tell the kernel's version from \"{}\"", name.release);
  }
  return version;
}

/// The hexadecimal field of /proc/self/status.
uint64_t status_bits(const std::string& status, std::string_view name) {
  size_t at = status.find(name);
  if (at == std::string::npos) return 0;
  return std::strtoull(status.c_str() + at + name.size(), nullptr, 16);
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  std::string part;
  while (std::getline(stream, part, separator)) {
    if (!part.empty()) parts.push_back(part);
  }
  return parts;
}

/// Octal escapes of proc(5): "\040" is a space.
std::string unescape(const std::string& text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    bool escaped = text[i] == '\\' && i + 3 < text.size();
    if (escaped) {
      plain.push_back(static_cast<char>(std::strtol(text.substr(i + 1, 3).c_str(), nullptr, 8)));
      i += 3;
    } else {
      plain.push_back(text[i]);
    }
  }
  return plain;
}

/// One line of /proc/self/mountinfo: ... mount-point options fields - type source super-options
void add_hierarchy(const std::string& line, std::vector<CgroupHierarchy>& hierarchies) {
  size_t dash = line.find(" - ");
  if (dash == std::string::npos) return;
  std::vector<std::string> before = split(line.substr(0, dash), ' ');
  std::vector<std::string> after = split(line.substr(dash + 3), ' ');
  if (before.size() < 5 || after.size() < 3) return;
  bool v1 = after[0] == "cgroup";
  if (!v1 && after[0] != "cgroup2") return;
  CgroupHierarchy hierarchy;
  hierarchy.version = v1 ? CgroupHierarchy::Version::V1 : CgroupHierarchy::Version::V2;
  hierarchy.mount_point = unescape(before[4]);
  if (v1) {
    for (const std::string& option : split(after[2], ',')) {
      bool flag = option == "rw" || option == "ro" || option == "xattr" ||
                  option.starts_with("release_agent=") || option == "noprefix" ||
                  option == "clone_children" || option == "cpuset_v2_mode";
      if (!flag) hierarchy.controllers.push_back(option);
    }
  } else {
    std::string offered = read_text(hierarchy.mount_point + "/cgroup.controllers");
    if (!offered.empty() && offered.back() == '\n') offered.pop_back();
    hierarchy.controllers = split(offered, ' ');
  }
  hierarchies.push_back(std::move(hierarchy));
}

std::vector<CgroupHierarchy> cgroup_hierarchies() {
  std::vector<CgroupHierarchy> hierarchies;
  std::istringstream mounts(read_text("/proc/self/mountinfo"));
  std::string line;
  while (std::getline(mounts, line)) add_hierarchy(line, hierarchies);
  return hierarchies;
}

/// Heat of a cpu tells what neighbours compute (CVE-2020-8694's kin): one directory per cpu.
std::vector<std::string> thermal_throttle_paths() {
  std::vector<std::string> paths;
  std::string base = "/sys/devices/system/cpu";
  std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(base.c_str()), ::closedir);
  if (!directory) return paths;
  while (const dirent* entry = ::readdir(directory.get())) {
    std::string_view name = entry->d_name;
    bool cpu = name.starts_with("cpu") && name.size() > 3 && name[3] >= '0' && name[3] <= '9';
    std::string path = base + "/" + std::string(name) + "/thermal_throttle";
    if (cpu && exists(path.c_str())) paths.push_back(std::move(path));
  }
  return paths;
}

}  // namespace

Result<HostFacts> detect_host_facts() {
  HostFacts facts;
  utsname name{};
  if (::uname(&name) != 0) return Error::from_errno("uname", {}, errno);
  TRY(facts.kernel, kernel_version(name));
  if (facts.kernel < KernelVersion{5, 12}) {
    return failure(Kind::Unsupported,
                   "Linux {} is too old: berth needs 5.12 or later (mount_setattr, openat2, pidfd)",
                   name.release);
  }
  std::string_view machine = name.machine;
  if (machine == "aarch64") {
    facts.architecture = Architecture::Aarch64;
  } else if (machine != "x86_64") {
    return failure(Kind::Unsupported, "berth runs on x86_64 and aarch64, not on {}", machine);
  }
  std::string status = read_text("/proc/self/status");
  facts.capabilities = status_bits(status, "CapPrm:") & status_bits(status, "CapBnd:");
  facts.last_capability = std::atoi(read_text("/proc/sys/kernel/cap_last_cap").c_str());
  facts.cgroups = cgroup_hierarchies();
  facts.seccomp_filter =
      ::prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0 && exists("/proc/sys/kernel/seccomp/actions_avail");
  facts.apparmor = read_text("/sys/module/apparmor/parameters/enabled").starts_with('Y');
  facts.selinux = exists("/sys/fs/selinux/enforce");
  facts.user_namespaces = exists("/proc/self/ns/user");
  facts.time_namespaces = exists("/proc/self/ns/time");
  facts.thermal_throttle_paths = thermal_throttle_paths();
  if (!exists("/proc/self/ns/mnt") || !exists("/proc/self/ns/pid") || !exists("/proc/self/ns/net")) {
    return Error(Kind::Unsupported,
                 "this kernel lacks mount, pid or network namespaces: enable CONFIG_NAMESPACES");
  }
  return facts;
}

}  // namespace berth::launch
