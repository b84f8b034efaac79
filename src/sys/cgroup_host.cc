// The host's hierarchies: which are mounted, where, what they can do, and where berth's groups belong.
#include <unistd.h>

#include <algorithm>
#include <set>

#include "base/format.h"
#include "sys/cgroup.h"
#include "sys/cgroup_files.h"
#include "sys/cgroup_plan.h"
#include "sys/cgroup_versions.h"

namespace berth::sys {
namespace {

namespace files = cgroup_files;

constexpr char kDefaultParent[] = "/berth";

struct Mount {
  std::string root;  ///< the part of the hierarchy that is mounted
  std::string point;
  bool unified = false;
  std::vector<std::string> controllers;
};

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == text.npos) return parts;
    text.remove_prefix(end + 1);
  }
}

/// mountinfo writes space, tab, newline and backslash as three octal digits.
std::string unescape(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    auto octal = [&](size_t at) { return at < text.size() && text[at] >= '0' && text[at] <= '7'; };
    if (text[i] == '\\' && octal(i + 1) && octal(i + 2) && octal(i + 3)) {
      plain += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

bool is_v1_controller(std::string_view option) {
  static constexpr std::string_view kKnown[] = {"cpu",     "cpuacct", "cpuset",   "memory",     "devices",
                                                "freezer", "blkio",   "pids",     "hugetlb",    "net_cls",
                                                "rdma",    "misc",    "net_prio", "perf_event", "dmem"};
  return option.starts_with("name=") ||
         std::find(std::begin(kKnown), std::end(kKnown), option) != std::end(kKnown);
}

/// proc_pid_mountinfo(5): "36 35 98:0 /root /point options [optional...] - type source super-options".
std::vector<Mount> parse_mounts(std::string_view mountinfo) {
  std::vector<Mount> mounts;
  for (std::string_view line : split(mountinfo, '\n')) {
    size_t dash = line.find(" - ");
    if (dash == line.npos) continue;
    auto left = split(line.substr(0, dash), ' ');
    auto right = split(line.substr(dash + 3), ' ');
    if (left.size() < 6 || right.size() < 3) continue;
    if (right[0] != "cgroup" && right[0] != "cgroup2") continue;
    Mount mount{unescape(left[3]), unescape(left[4]), right[0] == "cgroup2", {}};
    if (!mount.unified) {
      for (std::string_view option : split(right[2], ',')) {
        if (is_v1_controller(option)) mount.controllers.emplace_back(option);
      }
      if (mount.controllers.empty()) continue;
    }
    mounts.push_back(std::move(mount));
  }
  return mounts;
}

/// The daemon's own group within a mount, "" when it is the mount's root; nullopt when it is not below.
std::optional<std::string> own_group(std::string_view self_cgroup, const Mount& mount) {
  for (std::string_view line : split(self_cgroup, '\n')) {
    auto fields = split(line, ':');
    if (fields.size() < 3) continue;
    // The path is everything behind the second colon and may contain more of them.
    std::string_view path = line.substr(fields[0].size() + fields[1].size() + 2);
    bool same = mount.unified ? fields[1].empty() : false;
    for (std::string_view controller : split(fields[1], ',')) {
      same |= !mount.unified && controller == mount.controllers.front();
    }
    if (!same) continue;
    if (path.starts_with("/..")) return std::nullopt;
    if (mount.root != "/") {
      if (!path.starts_with(mount.root)) return std::nullopt;
      path.remove_prefix(mount.root.size());
    }
    return path == "/" ? std::string() : std::string(path);
  }
  return std::nullopt;
}

/// Where groups can be made: below the mount's root, else below the daemon's own group. That is the one above
/// where an earlier daemon has moved its processes down to (kGroupOfProcesses).
std::optional<CgroupHierarchy> place(const Mount& mount, std::string_view self_cgroup,
                                     const std::string& prefix) {
  CgroupHierarchy hierarchy{mount.controllers, prefix + mount.point, "", mount.unified};
  auto writable = [&](const std::string& base) {
    std::string directory = hierarchy.mount + base;
    return ::access(directory.c_str(), W_OK) == 0 &&
           ::access((directory + "/cgroup.procs").c_str(), W_OK) == 0;
  };
  if (!writable("")) {
    auto own = own_group(self_cgroup, mount);
    if (!own || !writable(*own)) return std::nullopt;
    constexpr std::string_view kLeaf = kGroupOfProcesses;
    if (std::string above = own->substr(0, own->size() - std::min(own->size(), kLeaf.size()));
        own->ends_with(kLeaf) && !above.empty() && writable(above))
      *own = above;
    hierarchy.base = *own;
  }
  if (mount.unified) {
    auto controllers = files::read(hierarchy.mount + hierarchy.base + "/cgroup.controllers");
    if (!controllers) return std::nullopt;
    while (!controllers->empty() && controllers->back() == '\n') controllers->pop_back();
    for (std::string_view name : split(*controllers, ' ')) {
      if (!name.empty()) hierarchy.controllers.emplace_back(name);
    }
  }
  return hierarchy;
}

std::string trimmed_file(const std::string& path) {
  auto text = files::read(path);
  if (!text) return {};
  while (!text->empty() && (text->back() == '\n' || text->back() == ' ')) text->pop_back();
  return *std::move(text);
}

void fill_v1_features(const std::vector<CgroupHierarchy>& hierarchies, CgroupFeatures& features) {
  for (const auto& hierarchy : hierarchies) {
    if (hierarchy.unified) continue;
    std::string directory = hierarchy.mount + hierarchy.base;
    auto has = [&](const char* file) { return files::exists(directory + '/' + file); };
    for (const auto& controller : hierarchy.controllers) {
      if (controller == "memory") {
        features.memory = true;
        features.memory_reservation = has("memory.soft_limit_in_bytes");
        features.swap = has("memory.memsw.limit_in_bytes");
        features.swappiness = has("memory.swappiness");
        // The file stands in groups below the root only; the controller always had it.
        features.oom_kill_disable = true;
      } else if (controller == "cpu") {
        features.cpu_shares = has("cpu.shares");
        features.cpu_quota = has("cpu.cfs_quota_us");
        features.cpu_realtime = has("cpu.rt_runtime_us");
      } else if (controller == "cpuset") {
        features.cpuset = true;
        features.available_cpus = trimmed_file(directory + "/cpuset.cpus");
        features.available_mems = trimmed_file(directory + "/cpuset.mems");
      } else if (controller == "blkio") {
        // BFQ's weight files stand below the root only; its statistics tell that it is there.
        bool bfq = has("blkio.bfq.io_service_bytes") || has("blkio.bfq.weight");
        features.blkio_weight = bfq || has("blkio.weight");
        features.blkio_weight_device = bfq || has("blkio.weight_device");
        features.blkio_throttle = has("blkio.throttle.read_bps_device");
      } else if (controller == "pids") {
        features.pids = true;
      } else if (controller == "devices") {
        features.devices = true;
      } else if (controller == "freezer") {
        features.freezer = true;
      } else if (controller == "hugetlb") {
        features.hugepages = true;
      } else if (controller == "net_cls") {
        features.network_class = true;
      } else if (controller == "net_prio") {
        features.network_priorities = true;
      } else if (controller == "rdma") {
        features.rdma = true;
      }
    }
  }
}

void fill_v2_features(const CgroupHierarchy& hierarchy, const std::string& own, CgroupFeatures& features) {
  for (const auto& controller : hierarchy.controllers) {
    if (controller == "memory") {
      features.memory = features.memory_reservation = true;
      // The root group has no such file, and then only a kernel without swap has none below.
      std::string directory = hierarchy.mount + own;
      features.swap =
          !files::exists(directory + "/memory.max") || files::exists(directory + "/memory.swap.max");
    }
    features.cpu_shares |= controller == "cpu";
    features.cpu_quota |= controller == "cpu";
    features.cpuset |= controller == "cpuset";
    features.pids |= controller == "pids";
    features.blkio_weight |= controller == "io";
    features.blkio_weight_device |= controller == "io";
    features.blkio_throttle |= controller == "io";
    features.hugepages |= controller == "hugetlb";
    features.rdma |= controller == "rdma";
  }
  features.devices = true;
  features.freezer = true;
  std::string directory = hierarchy.mount + hierarchy.base;
  features.available_cpus = trimmed_file(directory + "/cpuset.cpus.effective");
  features.available_mems = trimmed_file(directory + "/cpuset.mems.effective");
}

}  // namespace

Result<CgroupHost> CgroupHost::detect() {
  TRY(std::string mountinfo, files::read("/proc/self/mountinfo"));
  TRY(std::string self_cgroup, files::read("/proc/self/cgroup"));
  return detect_in(mountinfo, self_cgroup, {});
}

Result<CgroupHost> CgroupHost::detect_in(std::string_view mountinfo, std::string_view self_cgroup,
                                         std::string probe_root) {
  CgroupHost host;
  std::optional<CgroupHierarchy> unified;
  std::string own_unified;
  std::set<std::string> taken;
  for (const auto& mount : parse_mounts(mountinfo)) {
    // A hierarchy may be mounted in several places; the first usable one counts.
    if (mount.unified ? unified.has_value() : taken.contains(mount.controllers.front())) continue;
    auto placed = place(mount, self_cgroup, probe_root);
    if (!placed) continue;
    if (mount.unified) {
      unified = std::move(placed);
      own_unified = own_group(self_cgroup, mount).value_or("");
    } else {
      taken.insert(mount.controllers.begin(), mount.controllers.end());
      host.hierarchies_.push_back(*std::move(placed));
    }
  }
  bool any_v1 =
      std::any_of(taken.begin(), taken.end(), [](const auto& name) { return !name.starts_with("name="); });
  CgroupFeatures& features = host.features_;
  if (any_v1) {
    features.version = unified ? CgroupVersion::Hybrid : CgroupVersion::V1;
    fill_v1_features(host.hierarchies_, features);
    if (unified) {
      host.hierarchies_.push_back(*std::move(unified));
      features.freezer = true;
      features.devices = true;
    }
  } else if (unified) {
    features.version = CgroupVersion::V2;
    fill_v2_features(*unified, own_unified, features);
    host.hierarchies_ = {*std::move(unified)};
  } else {
    host.hierarchies_.clear();
  }
  features.cpu_count = static_cast<unsigned>(std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN)));
  if (features.available_cpus.empty())
    features.available_cpus = trimmed_file("/sys/devices/system/cpu/online");
  if (features.available_mems.empty())
    features.available_mems = trimmed_file("/sys/devices/system/node/online");
  if (features.available_mems.empty()) features.available_mems = "0";
  return host;
}

Result<std::string> CgroupHost::group_path(std::string_view parent, std::string_view name) {
  if (parent.empty()) parent = kDefaultParent;
  std::string path;
  auto append = [&](std::string_view component) -> Result<void> {
    if (component.empty() || component == ".") return {};
    if (component == "..") {  // beneath the hierarchy's root, as in a file system
      path.resize(path.rfind('/') == path.npos ? 0 : path.rfind('/'));
      return {};
    }
    bool plain =
        component.find_first_of(std::string_view("\n\0", 2)) == component.npos && component.size() < 256;
    // The unified root's own files must not be taken for a group.
    if (!plain || component.starts_with("cgroup.")) {
      return failure(Kind::InvalidArgument, "invalid cgroup parent \"{}\"", parent);
    }
    path.append("/").append(component);
    return {};
  };
  for (std::string_view component : split(parent, '/')) CHECK(append(component));
  if (name.empty() || name.find('/') != name.npos || name == "." || name == "..") {
    return failure(Kind::InvalidArgument, "invalid cgroup name \"{}\"", name);
  }
  CHECK(append(name));
  return path;
}

void CgroupHost::remove_parent(std::string_view parent) const {
  if (parent.empty()) parent = kDefaultParent;
  if (parent.find("..") != parent.npos) return;  // group_path() has led it elsewhere
  for (const auto& hierarchy : hierarchies_) {
    // Fails, as it should, while a group is in it.
    ::rmdir(fmt::format("{}{}/{}", hierarchy.mount, hierarchy.base, parent).c_str());
  }
}

}  // namespace berth::sys
