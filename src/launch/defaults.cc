// The default sandbox.
#include "launch/defaults.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "base/format.h"
#include "launch/capability_names.h"

namespace berth::launch {
namespace {

/// In docker's order, which `inspect` shows.
constexpr std::string_view kMaskedPaths[] = {
    "/proc/asound",      "/proc/acpi",          "/proc/interrupts", "/proc/kcore",
    "/proc/keys",        "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
    "/proc/sched_debug", "/proc/scsi",          "/sys/firmware",    "/sys/devices/virtual/powercap"};
constexpr std::string_view kReadonlyPaths[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                               "/proc/sysrq-trigger"};

std::vector<spec::Mount> default_mounts() {
  return {
      {"/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}},
      {"/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}},
      {"/dev/pts",
       "devpts",
       "devpts",
       {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
      {"/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}},
      {"/sys/fs/cgroup", "cgroup", "cgroup", {"ro", "nosuid", "noexec", "nodev"}},
      {"/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}},
      {"/dev/shm", "tmpfs", "shm", {"nosuid", "noexec", "nodev", "mode=1777", "size=67108864"}},
  };
}

std::string full_name(std::string_view name) {
  std::string upper(name);
  std::ranges::transform(upper, upper.begin(),
                         [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return upper == "ALL" || upper.starts_with("CAP_") ? upper : "CAP_" + upper;
}

/// The bits that --cap-add or --cap-drop names.
Result<uint64_t> named_bits(std::span<const std::string> names, const HostFacts& host) {
  if (auto unknown = unknown_capability(names))
    return failure(Kind::InvalidArgument, "unknown capability: \"{}\"", *unknown);
  uint64_t bits = 0;
  for (const auto& given : names) {
    std::string name = full_name(given);
    bits |= name == "ALL" ? host.capabilities : uint64_t{1} << *capability_number(name);
  }
  return bits;
}

std::vector<std::string> names_of(uint64_t bits) {
  std::vector<std::string> names;
  for (int i = 0; i < kKnownCapabilities; ++i)
    if ((bits >> i & 1) != 0) names.emplace_back(capability_name(i));
  return names;
}

bool is_device(const struct stat& status) {
  return S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode);
}

spec::Device device_of(const struct stat& status, const std::string& path) {
  return {.path = path,
          .type = S_ISBLK(status.st_mode) ? 'b' : 'c',
          .major = static_cast<int64_t>(gnu_dev_major(status.st_rdev)),
          .minor = static_cast<int64_t>(gnu_dev_minor(status.st_rdev)),
          .file_mode = status.st_mode & 07777,
          .uid = status.st_uid,
          .gid = status.st_gid};
}

/// Directories of /dev that are the container's own business, and what lives under them.
constexpr std::string_view kSkippedInDev[] = {"pts", "shm", "mqueue", "fd", ".lxc", ".lxd-mounts", ".udev"};
constexpr size_t kMaxDevices = 8192;

Result<void> gather_devices(const std::filesystem::path& directory, const std::string& inside, bool top,
                            std::vector<spec::Device>& devices) {
  std::error_code error;
  std::filesystem::directory_iterator entries(directory, error);
  if (error) return Error::from_errno("read directory", directory.string(), error.value());
  for (const auto& entry : entries) {
    std::string name = entry.path().filename().string();
    struct stat status {};
    if (::lstat(entry.path().c_str(), &status) != 0) continue;
    if (S_ISDIR(status.st_mode)) {
      if (top && std::ranges::find(kSkippedInDev, name) != std::end(kSkippedInDev)) continue;
      CHECK(gather_devices(entry.path(), inside + "/" + name, false, devices));
    } else if (is_device(status) && name != "console" && name != "ptmx") {
      if (devices.size() == kMaxDevices) return Error(Kind::Exhausted, "too many devices below /dev");
      devices.push_back(device_of(status, inside + "/" + name));
    }
  }
  return {};
}

}  // namespace

const std::vector<std::string>& default_capabilities() {
  static const std::vector<std::string> names = {
      "CAP_CHOWN",      "CAP_DAC_OVERRIDE", "CAP_FOWNER",      "CAP_FSETID",           "CAP_KILL",
      "CAP_SETGID",     "CAP_SETUID",       "CAP_SETPCAP",     "CAP_NET_BIND_SERVICE", "CAP_NET_RAW",
      "CAP_SYS_CHROOT", "CAP_MKNOD",        "CAP_AUDIT_WRITE", "CAP_SETFCAP"};
  return names;
}

std::vector<std::string> all_capabilities(const HostFacts& host) {
  return names_of(host.capabilities);
}

std::optional<std::string> unknown_capability(std::span<const std::string> names) {
  for (const std::string& given : names) {
    std::string name = full_name(given);
    if (name != "ALL" && !capability_number(name)) return name;
  }
  return std::nullopt;
}

Result<std::vector<std::string>> resolve_capabilities(std::span<const std::string> add,
                                                      std::span<const std::string> drop, bool privileged,
                                                      const HostFacts& host) {
  TRY(uint64_t added, named_bits(add, host));
  TRY(uint64_t dropped, named_bits(drop, host));
  if (privileged) return names_of(host.capabilities);
  TRY(uint64_t bits, capability_bits(default_capabilities()));
  uint64_t missing = added & ~host.capabilities;
  if (missing != 0)
    return failure(Kind::InvalidArgument,
                   "capability not supported by kernel or not available in the current environment: \"{}\"",
                   names_of(missing).front());
  auto is_all = [](const std::string& name) { return full_name(name) == "ALL"; };
  // "ALL" is the ground that the other list works upon; otherwise adding wins over dropping nothing else.
  if (std::ranges::any_of(add, is_all)) return names_of(host.capabilities & ~dropped);
  if (std::ranges::any_of(drop, is_all)) return names_of(added);
  return names_of((bits & ~dropped) | added);
}

void set_capabilities(spec::Process& process, const std::vector<std::string>& capabilities) {
  process.capabilities =
      spec::Capabilities{.bounding = capabilities, .effective = capabilities, .permitted = capabilities};
}

std::vector<spec::DeviceRule> default_device_rules() {
  auto allow = [](int64_t major, std::optional<int64_t> minor) {
    return spec::DeviceRule{.allow = true, .type = 'c', .major = major, .minor = minor};
  };
  return {
      {.allow = false},
      // Making nodes is harmless where they cannot be opened.
      {.allow = true, .type = 'c', .access = "m"},
      {.allow = true, .type = 'b', .access = "m"},
      allow(1, 3),                                               // null
      allow(1, 5),                                               // zero
      allow(1, 7),                                               // full
      allow(1, 8),                                               // random
      allow(1, 9),                                               // urandom
      allow(5, 0),                                               // tty
      allow(5, 1),                                               // console
      allow(5, 2),                                               // ptmx
      allow(136, std::nullopt),                                  // pts
      {.allow = false, .type = 'c', .major = 10, .minor = 229},  // fuse
  };
}

spec::RuntimeSpec default_container_spec(const HostFacts& host) {
  spec::RuntimeSpec spec;
  set_capabilities(spec.process, default_capabilities());
  spec.process.oom_score_adj = 0;
  spec.mounts = default_mounts();
  for (auto type : {spec::NamespaceType::Mount, spec::NamespaceType::Network, spec::NamespaceType::Uts,
                    spec::NamespaceType::Pid, spec::NamespaceType::Ipc, spec::NamespaceType::Cgroup})
    spec.namespaces.push_back({type, {}});
  spec.masked_paths.assign(std::begin(kMaskedPaths), std::end(kMaskedPaths));
  spec.masked_paths.insert(spec.masked_paths.end(), host.thermal_throttle_paths.begin(),
                           host.thermal_throttle_paths.end());
  spec.readonly_paths.assign(std::begin(kReadonlyPaths), std::end(kReadonlyPaths));
  spec.resources.devices = default_device_rules();
  if (host.seccomp_filter) spec.seccomp = default_seccomp(default_capabilities(), host);
  return spec;
}

void make_privileged(spec::RuntimeSpec& spec, const HostFacts& host) {
  set_capabilities(spec.process, all_capabilities(host));
  spec.masked_paths.clear();
  spec.readonly_paths.clear();
  spec.seccomp.reset();
  spec.resources.devices = {{.allow = true}};
  for (auto& mount : spec.mounts)
    if (mount.type == "sysfs" || mount.type == "cgroup") std::erase(mount.options, "ro");
}

Result<std::vector<spec::Device>> host_devices() {
  std::vector<spec::Device> devices;
  CHECK(gather_devices("/dev", "/dev", true, devices));
  return devices;
}

Result<std::vector<spec::Device>> devices_from_host(const std::string& host_path, const std::string& path) {
  struct stat status {};
  if (::stat(host_path.c_str(), &status) != 0)
    return failure(Kind::InvalidArgument,
                   "error gathering device information while adding custom device \"{}\": {}", host_path,
                   errno == ENOENT ? "no such file or directory" : "cannot be read");
  std::vector<spec::Device> devices;
  if (is_device(status)) return std::vector{device_of(status, path)};
  if (!S_ISDIR(status.st_mode))
    return failure(Kind::InvalidArgument,
                   "error gathering device information while adding custom device \"{}\": not a device node",
                   host_path);
  CHECK(gather_devices(host_path, path, false, devices));
  if (devices.empty())
    return failure(Kind::InvalidArgument,
                   "error gathering device information while adding custom device \"{}\": not a device node",
                   host_path);
  return devices;
}

}  // namespace berth::launch
