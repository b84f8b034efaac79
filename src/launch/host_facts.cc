// Asking the host what it can do.
#include "launch/host_facts.h"

#include <linux/capability.h>
#include <linux/mount.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/format.h"
#include "launch/capability_names.h"
#include "sys/sub_ids.h"

namespace berth::launch {
namespace {

std::string read_line(const char* path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
  return parts;
}

KernelVersion parse_kernel(const char* release) {
  KernelVersion version;
  const char* end = release + std::char_traits<char>::length(release);
  auto [rest, error] = std::from_chars(release, end, version.major);
  if (rest != end && *rest == '.') std::from_chars(rest + 1, end, version.minor);
  return version;
}

uint64_t own_capabilities() {
  std::ifstream status("/proc/self/status");
  uint64_t permitted = 0, bounding = 0;
  for (std::string line; std::getline(status, line);) {
    uint64_t* set = line.starts_with("CapPrm:")   ? &permitted
                    : line.starts_with("CapBnd:") ? &bounding
                                                  : nullptr;
    if (set == nullptr) continue;
    size_t digits = line.find_last_of("\t ") + 1;
    std::from_chars(line.data() + digits, line.data() + line.size(), *set, 16);
  }
  uint64_t own = permitted & bounding;
  // Held in another than the initial user namespace it is a word without a meaning.
  if (!sys::in_initial_user_namespace()) own &= ~(uint64_t{1} << CAP_MKNOD);
  return own;
}

/// From /proc/self/mountinfo: fields after " - " are type, source, superblock options.
std::vector<CgroupHierarchy> cgroup_hierarchies() {
  std::vector<CgroupHierarchy> result;
  std::ifstream mounts("/proc/self/mountinfo");
  for (std::string line; std::getline(mounts, line);) {
    size_t dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    auto before = split(line.substr(0, dash), ' ');
    auto after = split(line.substr(dash + 3), ' ');
    if (before.size() < 5 || after.size() < 3 || !after[0].starts_with("cgroup")) continue;
    CgroupHierarchy hierarchy;
    hierarchy.mount_point = before[4];
    if (after[0] == "cgroup2") {
      hierarchy.controllers = split(read_line((hierarchy.mount_point + "/cgroup.controllers").c_str()), ' ');
    } else if (after[0] == "cgroup") {
      hierarchy.version = CgroupHierarchy::Version::V1;
      for (const auto& option : split(after[2], ','))
        if (option != "rw" && option != "ro" && option != "xattr" && !option.starts_with("release_agent") &&
            option != "clone_children" && option != "noprefix")
          hierarchy.controllers.push_back(option);
    } else {
      continue;
    }
    result.push_back(std::move(hierarchy));
  }
  return result;
}

std::vector<std::string> find_thermal_throttle() {
  std::vector<std::string> paths;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/sys/devices/system/cpu", ignored)) {
    auto path = entry.path() / "thermal_throttle";
    if (entry.path().filename().string().starts_with("cpu") && std::filesystem::exists(path, ignored))
      paths.push_back(path.string());
  }
  return paths;
}

bool has_seccomp_filter() {
  // With a null filter the call fails with EFAULT where it exists.
  return ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, nullptr) != 0 && errno == EFAULT;
}

/// The newest of the calls that nothing can replace.
Result<void> check_kernel(const char* release) {
  if (::syscall(SYS_mount_setattr, -1, nullptr, 0, nullptr, size_t{0}) != 0 && errno == ENOSYS)
    return failure(Kind::Unsupported, "the kernel ({}) has no mount_setattr: berth needs Linux 5.12 or newer",
                   release);
  return {};
}

bool has_namespace(const char* name) {
  return ::access(fmt::format("/proc/self/ns/{}", name).c_str(), F_OK) == 0;
}

}  // namespace

Result<HostFacts> detect_host_facts() {
  utsname name{};
  ::uname(&name);
  CHECK(check_kernel(name.release));
  for (const char* each : {"pid", "net", "mnt", "ipc", "uts", "cgroup"})
    if (!has_namespace(each))
      return failure(Kind::Unsupported, "the kernel ({}) has no {} namespaces", name.release, each);
  HostFacts facts;
  facts.kernel = parse_kernel(name.release);
#if defined(__aarch64__)
  facts.architecture = Architecture::Aarch64;
#endif
  facts.capabilities = own_capabilities();
  std::string last = read_line("/proc/sys/kernel/cap_last_cap");
  facts.last_capability = kKnownCapabilities - 1;
  std::from_chars(last.data(), last.data() + last.size(), facts.last_capability);
  std::string score = read_line("/proc/self/oom_score_adj");
  std::from_chars(score.data(), score.data() + score.size(), facts.oom_score_adj);
  facts.cgroups = cgroup_hierarchies();
  facts.seccomp_filter = has_seccomp_filter();
  facts.apparmor = read_line("/sys/module/apparmor/parameters/enabled") == "Y";
  facts.selinux = ::access("/sys/fs/selinux/enforce", F_OK) == 0;
  facts.user_namespaces = has_namespace("user");
  facts.time_namespaces = has_namespace("time");
  facts.resctrl = ::access("/sys/fs/resctrl/schemata", F_OK) == 0;
  facts.thermal_throttle_paths = find_thermal_throttle();
  return facts;
}

}  // namespace berth::launch
