// docker's default sandbox.
#include "launch/defaults.h"

#include <dirent.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <set>

#include "base/format.h"
#include "launch/capability_names.h"

namespace berth::launch {
namespace {

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

std::string upper(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 32);
  }
  return result;
}

/// "net_admin", "CAP_NET_ADMIN" -> 12; "ALL" is for the caller.
Result<int> parse_capability(std::string_view text) {
  std::string name = upper(text);
  if (!name.starts_with("CAP_")) name = "CAP_" + name;
  auto number = capability_number(name);
  if (!number) return failure(Kind::InvalidArgument, "unknown capability: \"{}\"", name.substr(0, 64));
  return *number;
}

bool is_all(std::string_view text) {
  std::string name = upper(text);
  return name == "ALL" || name == "CAP_ALL";
}

std::vector<std::string> names_of(uint64_t bits) {
  std::vector<std::string> names;
  for (int number = 0; number < kKnownCapabilities; ++number) {
    if ((bits >> number & 1) != 0) names.emplace_back(capability_name(number));
  }
  return names;
}

uint64_t default_bits() {
  uint64_t bits = 0;
  for (const std::string& name : default_capabilities()) bits |= uint64_t{1} << *capability_number(name);
  return bits;
}

/// Directories of /dev that hold no devices of the host's for a container.
bool is_skipped(std::string_view name) {
  static constexpr std::string_view names[] = {"pts",     "shm",  "fd",          "mqueue",
                                               "console", ".lxc", ".lxd-mounts", ".udev"};
  return name == "." || name == ".." ||
         std::find(std::begin(names), std::end(names), name) != std::end(names);
}

spec::Device device_of(const std::string& path, const struct stat& status) {
  spec::Device device;
  device.path = path;
  device.type = S_ISBLK(status.st_mode) ? 'b' : 'c';
  device.major = major(status.st_rdev);
  device.minor = minor(status.st_rdev);
  device.file_mode = status.st_mode & 07777;
  device.uid = status.st_uid;
  device.gid = status.st_gid;
  return device;
}

constexpr int deepest_directory = 8;

/// Nodes below a directory of the host; symbolic links are not followed, so a loop cannot form.
Result<void> collect_devices(const std::string& host_path, const std::string& path, int depth,
                             std::vector<spec::Device>& devices) {
  std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(host_path.c_str()), ::closedir);
  if (!directory) return Error::from_errno("read", host_path, errno);
  while (const dirent* entry = ::readdir(directory.get())) {
    if (is_skipped(entry->d_name)) continue;
    std::string child = host_path + "/" + entry->d_name;
    struct stat status {};
    if (::lstat(child.c_str(), &status) != 0) continue;  // gone meanwhile
    std::string inside = path + "/" + entry->d_name;
    if (S_ISDIR(status.st_mode) && depth < deepest_directory) {
      CHECK(collect_devices(child, inside, depth + 1, devices));
    } else if (S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode)) {
      devices.push_back(device_of(inside, status));
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

Result<std::vector<std::string>> resolve_capabilities(std::span<const std::string> add,
                                                      std::span<const std::string> drop, bool privileged,
                                                      const HostFacts& host) {
  bool add_all = std::any_of(add.begin(), add.end(), is_all);
  bool drop_all = std::any_of(drop.begin(), drop.end(), is_all);
  uint64_t added = 0;
  uint64_t dropped = 0;
  for (const std::string& text : add) {
    if (is_all(text)) continue;
    TRY(int number, parse_capability(text));
    added |= uint64_t{1} << number;
  }
  for (const std::string& text : drop) {
    if (is_all(text)) continue;
    TRY(int number, parse_capability(text));
    dropped |= uint64_t{1} << number;
  }
  // docker: what is named one by one wins over ALL on the other side.
  uint64_t bits = default_bits();
  if (privileged || add_all) {
    bits = host.capabilities & ~dropped;
  } else if (drop_all) {
    bits = added;
  } else {
    bits = (bits & ~dropped) | added;
  }
  // What berth itself has not it cannot give.
  return names_of(bits & host.capabilities);
}

void set_capabilities(spec::Process& process, const std::vector<std::string>& capabilities) {
  process.capabilities =
      spec::Capabilities{.bounding = capabilities, .effective = capabilities, .permitted = capabilities};
}

std::vector<spec::DeviceRule> default_device_rules() {
  auto allow = [](char type, std::optional<int64_t> major, std::optional<int64_t> minor, std::string access) {
    return spec::DeviceRule{true, type, major, minor, std::move(access)};
  };
  return {
      spec::DeviceRule{false, 'a', std::nullopt, std::nullopt, "rwm"},
      allow('c', std::nullopt, std::nullopt, "m"),  // nodes may be made, not opened
      allow('b', std::nullopt, std::nullopt, "m"),
      allow('c', 1, 3, "rwm"),               // null
      allow('c', 1, 5, "rwm"),               // zero
      allow('c', 1, 7, "rwm"),               // full
      allow('c', 1, 8, "rwm"),               // random
      allow('c', 1, 9, "rwm"),               // urandom
      allow('c', 5, 0, "rwm"),               // tty
      allow('c', 5, 1, "rwm"),               // console
      allow('c', 5, 2, "rwm"),               // ptmx
      allow('c', 136, std::nullopt, "rwm"),  // pts
  };
}

spec::RuntimeSpec default_container_spec(const HostFacts& host) {
  using Type = spec::NamespaceType;
  spec::RuntimeSpec spec;
  spec.mounts = default_mounts();
  for (Type type : {Type::Mount, Type::Pid, Type::Network, Type::Ipc, Type::Uts, Type::Cgroup})
    spec.namespaces.push_back({type, ""});
  spec.masked_paths = {"/proc/acpi",       "/proc/asound",      "/proc/interrupts",
                       "/proc/kcore",      "/proc/keys",        "/proc/latency_stats",
                       "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
                       "/proc/scsi",       "/sys/firmware",     "/sys/devices/virtual/powercap"};
  spec.masked_paths.insert(spec.masked_paths.end(), host.thermal_throttle_paths.begin(),
                           host.thermal_throttle_paths.end());
  spec.readonly_paths = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};
  spec.resources.devices = default_device_rules();
  spec.rootfs_propagation = "rprivate";
  set_capabilities(spec.process, default_capabilities());
  spec.seccomp = default_seccomp(default_capabilities(), host);
  return spec;
}

void make_privileged(spec::RuntimeSpec& spec, const HostFacts& host) {
  set_capabilities(spec.process, all_capabilities(host));
  spec.masked_paths.clear();
  spec.readonly_paths.clear();
  spec.seccomp.reset();
  spec.resources.devices = {spec::DeviceRule{true, 'a', std::nullopt, std::nullopt, "rwm"}};
  for (spec::Mount& mount : spec.mounts) {
    if (mount.type == "sysfs" || mount.type == "cgroup") std::erase(mount.options, "ro");
  }
}

Result<std::vector<spec::Device>> host_devices() {
  std::vector<spec::Device> devices;
  CHECK(collect_devices("/dev", "/dev", 0, devices));
  return devices;
}

Result<std::vector<spec::Device>> devices_from_host(const std::string& host_path, const std::string& path) {
  struct stat status {};
  if (::stat(host_path.c_str(), &status) != 0) return Error::from_errno("device", host_path, errno);
  std::vector<spec::Device> devices;
  if (S_ISDIR(status.st_mode)) {
    CHECK(collect_devices(host_path, path, 0, devices));
    if (devices.empty()) return failure(Kind::InvalidArgument, "no device nodes found in {}", host_path);
  } else if (S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode)) {
    devices.push_back(device_of(path, status));
  } else {
    return failure(Kind::InvalidArgument, "{} is not a device node", host_path);
  }
  return devices;
}

}  // namespace berth::launch
