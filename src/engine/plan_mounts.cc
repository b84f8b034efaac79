// Mount planning.
#include "engine/plan_mounts.h"

#include <algorithm>
#include <set>

#include "base/format.h"

namespace berth::engine {
namespace {

size_t depth(std::string_view path) {
  return static_cast<size_t>(std::count(path.begin(), path.end(), '/')) - (path == "/" ? 1 : 0);
}

bool is_propagation(std::string_view option) {
  static constexpr std::string_view names[] = {"private", "rprivate", "shared", "rshared", "slave", "rslave"};
  return std::find(std::begin(names), std::end(names), option) != std::end(names);
}

void set_option(std::vector<std::string>& options, std::string_view prefix, std::string value) {
  std::erase_if(options, [&](const std::string& option) { return option.starts_with(prefix); });
  options.push_back(std::move(value));
}

spec::Mount bind_of(const MountPoint& point) {
  spec::Mount mount{point.destination, "bind", point.source, {}};
  mount.options.push_back(point.non_recursive ? "bind" : "rbind");
  if (!point.read_write) {
    mount.options.push_back("ro");
    if (point.read_only_recursive && !point.non_recursive) mount.options.push_back("rro");
  }
  mount.options.push_back(point.propagation.empty() ? "rprivate" : point.propagation);
  return mount;
}

Result<spec::Mount> mount_of(const MountPoint& point) {
  if (!point.filesystem.empty()) {
    spec::Mount mount{point.destination, point.filesystem, point.source, point.tmpfs_options};
    if (!point.read_write) mount.options.push_back("ro");
    return mount;
  }
  switch (point.type) {
    case spec::MountType::Bind:
    case spec::MountType::Volume:
    case spec::MountType::Image:
      return bind_of(point);
    case spec::MountType::Tmpfs: {
      spec::Mount mount{point.destination, "tmpfs", "tmpfs", point.tmpfs_options};
      if (!point.read_write) mount.options.push_back("ro");
      return mount;
    }
  }
  return failure(Kind::Internal, "unknown mount type at {}", point.destination);
}

/// The root must itself propagate for a mount below it to do so (docker's rootfsPropagation).
void raise_root_propagation(std::string_view propagation, spec::RuntimeSpec& spec) {
  bool shared = propagation == "shared" || propagation == "rshared";
  bool slave = propagation == "slave" || propagation == "rslave";
  if (shared) spec.rootfs_propagation = "shared";
  if (slave && spec.rootfs_propagation != "shared") spec.rootfs_propagation = "rslave";
}

void add_engine_file(const std::string& source, std::string destination, bool readonly,
                     std::vector<spec::Mount>& mounts) {
  if (source.empty()) return;
  spec::Mount mount{std::move(destination), "bind", source, {"rbind", "rprivate"}};
  if (readonly) mount.options.push_back("ro");
  mounts.push_back(std::move(mount));
}

void plan_shared_memory(const ContainerRecord& record, spec::RuntimeSpec& spec) {
  const spec::HostConfig& host_config = record.host_config;
  auto shm = std::find_if(spec.mounts.begin(), spec.mounts.end(),
                          [](const spec::Mount& mount) { return mount.destination == "/dev/shm"; });
  if (shm == spec.mounts.end()) return;
  if (!record.shm_path.empty()) {
    *shm =
        spec::Mount{"/dev/shm", "bind", record.shm_path, {"rbind", "rprivate", "nosuid", "nodev", "noexec"}};
  } else if (host_config.ipc_mode == "host") {
    *shm = spec::Mount{"/dev/shm", "bind", "/dev/shm", {"rbind", "rprivate"}};
  } else if (host_config.ipc_mode == "none") {
    spec.mounts.erase(shm);
  } else if (host_config.shm_size > 0) {
    set_option(shm->options, "size=", fmt::format("size={}", host_config.shm_size));
  }
}

}  // namespace

Result<std::vector<std::string>> parse_tmpfs_options(std::string_view text) {
  static constexpr std::string_view flags[] = {
      "exec",        "noexec",        "suid",     "nosuid",     "dev",     "nodev",    "ro",
      "rw",          "sync",          "async",    "noatime",    "atime",   "relatime", "norelatime",
      "strictatime", "nostrictatime", "diratime", "nodiratime", "dirsync", "mand",     "nomand"};
  static constexpr std::string_view values[] = {
      "size=", "mode=", "uid=", "gid=", "nr_inodes=", "nr_blocks=", "mpol="};
  std::vector<std::string> options = {"noexec", "nosuid", "nodev"};
  while (!text.empty()) {
    std::string_view option = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), option.size() + 1));
    bool known = option.empty() || is_propagation(option) ||
                 std::find(std::begin(flags), std::end(flags), option) != std::end(flags) ||
                 std::any_of(std::begin(values), std::end(values),
                             [&](std::string_view name) { return option.starts_with(name); });
    if (!known) return failure(Kind::InvalidArgument, "invalid tmpfs option [\"{}\"]", option.substr(0, 64));
    if (option == "exec" || option == "suid" || option == "dev")
      std::erase(options, "no" + std::string(option));
    if (!option.empty()) options.emplace_back(option);
  }
  return options;
}

Result<void> plan_mounts(const ContainerRecord& record, spec::RuntimeSpec& spec) {
  plan_shared_memory(record, spec);
  std::vector<spec::Mount> wanted;
  for (const MountPoint& point : record.mounts) {
    TRY(spec::Mount mount, mount_of(point));
    raise_root_propagation(point.propagation, spec);
    wanted.push_back(std::move(mount));
  }
  for (const auto& [destination, text] : record.host_config.tmpfs) {
    TRY(auto options, parse_tmpfs_options(text));
    wanted.push_back({destination, "tmpfs", "tmpfs", std::move(options)});
  }
  std::set<std::string> taken;
  for (const spec::Mount& mount : wanted) taken.insert(mount.destination);
  bool readonly = record.host_config.readonly_rootfs;
  if (!taken.contains("/etc/resolv.conf"))
    add_engine_file(record.resolv_conf_path, "/etc/resolv.conf", readonly, wanted);
  if (!taken.contains("/etc/hostname"))
    add_engine_file(record.hostname_path, "/etc/hostname", readonly, wanted);
  if (!taken.contains("/etc/hosts")) add_engine_file(record.hosts_path, "/etc/hosts", readonly, wanted);
  // A /dev of the user's brings its own /dev/shm, /dev/pts and the like, as with docker.
  bool own_devices = taken.contains("/dev");
  std::erase_if(spec.mounts, [&](const spec::Mount& mount) {
    return taken.contains(mount.destination) || (own_devices && mount.destination.starts_with("/dev/"));
  });
  spec.mounts.insert(spec.mounts.end(), wanted.begin(), wanted.end());
  // /dev before /dev/shm before /dev/shm/x; equal depths keep their order.
  std::stable_sort(spec.mounts.begin(), spec.mounts.end(), [](const spec::Mount& a, const spec::Mount& b) {
    return depth(a.destination) < depth(b.destination);
  });
  return {};
}

}  // namespace berth::engine
