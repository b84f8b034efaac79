// Control groups v1 and hybrid.
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/format.h"
#include "base/rollback.h"
#include "sys/cgroup_devices.h"
#include "sys/cgroup_stats.h"
#include "sys/cgroup_versions.h"

namespace berth::sys {
namespace {

using std::chrono::steady_clock;
namespace files = cgroup_files;

const std::string kNowhere;

bool has_controller(const CgroupHierarchy& hierarchy, std::string_view controller) {
  const auto& all = hierarchy.controllers;
  return std::find(all.begin(), all.end(), controller) != all.end();
}

/// A new cpuset has neither CPUs nor memory nodes and takes no process. Children of berth's parent group copy
/// its values when they are made (clone_children); the parent takes those of its own parent.
Result<void> inherit_cpuset(const std::string& directory) {
  std::string above = directory.substr(0, directory.rfind('/'));
  bool was_empty = false;
  for (const char* file : {"/cpuset.cpus", "/cpuset.mems"}) {
    TRY(std::string own, files::read(directory + file));
    if (own.find_first_not_of(" \n") != own.npos) continue;
    was_empty = true;
    TRY(std::string inherited, files::read(above + file));
    CHECK(files::write(directory + file, inherited));
  }
  if (!was_empty) return {};
  return files::write(directory + "/cgroup.clone_children", "1");
}

/// All on the way from `base` (not itself) to `directory`: whoever made the parent may have left it empty.
Result<void> inherit_cpusets(const std::string& directory, size_t base) {
  for (size_t slash = directory.find('/', base + 1); slash != std::string::npos;
       slash = directory.find('/', slash + 1))
    CHECK(inherit_cpuset(directory.substr(0, slash)));
  return inherit_cpuset(directory);
}

/// The v1 freezer and its process lists give no events: short naps, growing to a millisecond.
void nap(int round) {
  timespec pause{0, std::min(1000000, 20000 << std::min(round, 6))};
  ::nanosleep(&pause, nullptr);
}

}  // namespace

CgroupV1::CgroupV1(const CgroupHost& host, std::string path) : Cgroup(std::move(path), host.features()) {
  directories_.reserve(host.hierarchies().size());
  for (const auto& hierarchy : host.hierarchies()) {
    directories_.push_back({hierarchy, hierarchy.mount + hierarchy.base + path_});
    if (hierarchy.unified) unified_.emplace(directories_.back().path);
  }
}

const std::string& CgroupV1::directory_of(std::string_view controller) const {
  for (const auto& directory : directories_) {
    if (has_controller(directory.hierarchy, controller)) return directory.path;
  }
  return kNowhere;
}

const std::string& CgroupV1::process_directory() const {
  if (unified_) return unified_->directory();
  for (std::string_view controller : {"freezer", "pids", "devices"}) {
    if (const auto& directory = directory_of(controller); !directory.empty()) return directory;
  }
  return directories_.front().path;
}

Result<void> CgroupV1::make_parents(const Directory& directory) {
  size_t base = directory.hierarchy.mount.size() + directory.hierarchy.base.size();
  for (size_t slash = directory.path.find('/', base + 1); slash != std::string::npos;
       slash = directory.path.find('/', slash + 1)) {
    std::string parent = directory.path.substr(0, slash);
    if (::mkdir(parent.c_str(), 0755) != 0 && errno != EEXIST) {
      return Error::from_errno("create cgroup", parent, errno);
    }
    if (has_controller(directory.hierarchy, "cpuset")) CHECK(inherit_cpuset(parent));
  }
  return {};
}

Result<void> CgroupV1::make_directory(const Directory& directory) {
  const char* path = directory.path.c_str();
  for (int attempt = 0; attempt < 3; ++attempt) {
    if (::mkdir(path, 0755) == 0) return {};
    if (errno == ENOENT) {
      CHECK(make_parents(directory));
    } else if (errno == EEXIST) {
      // An empty leftover has limits of its own: make it anew.
      if (::rmdir(path) != 0 && errno != ENOENT) {
        return failure(Kind::AlreadyExists, "container's cgroup is not empty: {}", directory.path);
      }
    } else {
      break;
    }
  }
  return Error::from_errno("create cgroup", directory.path, errno);
}

Result<void> CgroupV1::make(const CgroupLimits& limits, std::vector<std::string>& warnings) {
  Rollback rollback;
  for (const auto& directory : directories_) {
    CHECK(make_directory(directory));
    rollback.add([path = directory.path] { ::rmdir(path.c_str()); });
  }
  const std::string& cpuset = directory_of("cpuset");
  if (!cpuset.empty()) {
    // Usually inherited already; not when the parent was made by somebody else.
    TRY(std::string cpus, files::read(cpuset + "/cpuset.cpus"));
    if (cpus.find_first_not_of(" \n") == cpus.npos)
      CHECK(inherit_cpusets(cpuset, cpuset.size() - path_.size()));
  }
  fresh_ = true;
  auto written = write_limits(limits, warnings);
  fresh_ = false;
  CHECK(std::move(written));
  rollback.keep();
  return {};
}

bool CgroupV1::exists() const {
  return std::any_of(directories_.begin(), directories_.end(),
                     [](const Directory& directory) { return files::exists(directory.path); });
}

Result<void> CgroupV1::write_limits(const CgroupLimits& limits, std::vector<std::string>& warnings) {
  MemoryInForce in_force;
  if (!fresh_ && limits.memory && limits.memory_swap) {
    const std::string& memory = directory_of("memory");
    if (auto now = files::read_number(memory + "/memory.limit_in_bytes")) in_force.memory = *now;
    if (auto now = files::read_number(memory + "/memory.memsw.limit_in_bytes")) in_force.memory_swap = *now;
  }
  if (!fresh_ && limits.cpu_period && limits.cpu_quota) {
    // Under a parent's limit the kernel judges each write by itself: where a new period alone would be too
    // much, the quota goes first.
    const std::string& cpu = directory_of("cpu");
    if (!files::write(cpu + "/cpu.cfs_period_us", fmt::to_string(*limits.cpu_period)))
      (void)files::write(cpu + "/cpu.cfs_quota_us", fmt::to_string(*limits.cpu_quota));
  }
  if (!fresh_ && limits.cpu_realtime_period && limits.cpu_realtime_runtime) {
    const std::string& cpu = directory_of("cpu");
    if (!files::write(cpu + "/cpu.rt_period_us", fmt::to_string(*limits.cpu_realtime_period)))
      (void)files::write(cpu + "/cpu.rt_runtime_us", fmt::to_string(*limits.cpu_realtime_runtime));
  }
  auto plan = plan_v1_limits(limits, in_force);
  CHECK(files::perform(
      plan, [&](const CgroupWrite& write) -> const std::string& { return directory_of(write.controller); },
      warnings));
  if (limits.devices.empty() || !directory_of("devices").empty() || !unified_) return {};
  // No v1 device controller, but a v2 mount beside: a program there guards the devices.
  TRY(UniqueFd directory, open_file(unified_->directory().c_str(), O_RDONLY | O_DIRECTORY));
  return attach_device_rules(directory.get(), limits.devices);
}

std::vector<std::string> CgroupV1::procs_files() const {
  std::vector<std::string> paths;
  for (const auto& directory : directories_) paths.push_back(directory.path + "/cgroup.procs");
  return paths;
}

std::vector<std::pair<std::string, std::string>> CgroupV1::directories() const {
  std::vector<std::pair<std::string, std::string>> result;
  for (const auto& directory : directories_) {
    std::string controllers;
    if (!directory.hierarchy.unified) {
      controllers = fmt::format("{}", fmt::join(directory.hierarchy.controllers, ","));
    }
    result.emplace_back(directory.path, std::move(controllers));
  }
  return result;
}

Result<CgroupEntry> CgroupV1::entry() const {
  CgroupEntry entry;
  for (const auto& directory : directories_) {
    if (directory.hierarchy.unified) {
      TRY(entry.directory, open_file(directory.path.c_str(), O_RDONLY | O_DIRECTORY));
    } else {
      TRY(auto procs, open_file((directory.path + "/cgroup.procs").c_str(), O_WRONLY));
      entry.procs.push_back(std::move(procs));
    }
  }
  return entry;
}

Result<void> CgroupV1::attach(pid_t pid) const {
  for (const auto& path : procs_files()) CHECK(files::write(path, fmt::to_string(pid)));
  return {};
}

Result<void> CgroupV1::freeze_v1(std::chrono::milliseconds timeout) {
  std::string file = directory_of("freezer") + "/freezer.state";
  auto deadline = steady_clock::now() + timeout;
  for (int round = 0;; ++round) {
    // Written again each time: a process that forked while FREEZING may have escaped the first order.
    CHECK(files::write(file, "FROZEN"));
    TRY(std::string state, files::read(file));
    if (state == "FROZEN\n") return {};
    if (steady_clock::now() >= deadline) break;
    nap(round);
  }
  (void)thaw_v1();
  return failure(Kind::DeadlineExceeded, "cgroup {} did not freeze within {} ms", path_, timeout.count());
}

Result<void> CgroupV1::thaw_v1() {
  return files::write(directory_of("freezer") + "/freezer.state", "THAWED");
}

Result<void> CgroupV1::freeze(std::chrono::milliseconds timeout) {
  if (unified_ && unified_->can_freeze()) return unified_->freeze(timeout);
  if (!directory_of("freezer").empty()) return freeze_v1(timeout);
  return Error(Kind::Unsupported, "the freezer cgroup is not mounted: processes cannot be paused");
}

Result<void> CgroupV1::thaw() {
  if (unified_ && unified_->can_freeze()) return unified_->thaw();
  if (!directory_of("freezer").empty()) return thaw_v1();
  return Error(Kind::Unsupported, "the freezer cgroup is not mounted: processes cannot be paused");
}

Result<FreezeState> CgroupV1::freeze_state() const {
  if (unified_ && unified_->can_freeze()) return unified_->freeze_state();
  if (directory_of("freezer").empty()) return FreezeState::Thawed;
  TRY(std::string state, files::read(directory_of("freezer") + "/freezer.state"));
  if (state == "FROZEN\n") return FreezeState::Frozen;
  return state == "FREEZING\n" ? FreezeState::Freezing : FreezeState::Thawed;
}

Result<void> CgroupV1::kill_all() {
  if (unified_) {
    auto killed = unified_->kill();
    if (killed || killed.error().kind() != Kind::NotFound) return killed;
  }
  // Frozen, nothing forks and no pid is used anew between listing and killing.
  bool frozen = freeze(std::chrono::milliseconds(500)).has_value();
  auto killed = files::kill_each(process_directory());
  if (frozen) CHECK(thaw());
  return killed;
}

Result<std::vector<pid_t>> CgroupV1::pids() const {
  return files::pids_below(process_directory());
}

Result<CgroupStats> CgroupV1::stats() const {
  CgroupStats stats;
  auto number = [&](std::string_view controller, const char* file) {
    auto value = files::read_number(directory_of(controller) + file);
    return value ? *value : 0;
  };
  auto text = [&](std::string_view controller, const char* file) {
    auto content = files::read(directory_of(controller) + file);
    return content ? *std::move(content) : std::string();
  };
  if (!exists()) return failure(Kind::NotFound, "cgroup {} is gone", path_);

  stats.cpu.total_ns = number("cpuacct", "/cpuacct.usage");
  stats.cpu.per_cpu_ns = parse_number_list(text("cpuacct", "/cpuacct.usage_percpu"));
  std::string times = text("cpuacct", "/cpuacct.stat");
  uint64_t tick = 1000000000ull / static_cast<uint64_t>(std::max(1L, ::sysconf(_SC_CLK_TCK)));
  stats.cpu.user_ns = parse_cgroup_number(find_cgroup_value(times, "user")) * tick;
  stats.cpu.kernel_ns = parse_cgroup_number(find_cgroup_value(times, "system")) * tick;
  auto throttling = parse_flat_keyed(text("cpu", "/cpu.stat"));
  stats.cpu.periods = throttling["nr_periods"];
  stats.cpu.throttled_periods = throttling["nr_throttled"];
  stats.cpu.throttled_ns = throttling["throttled_time"];

  stats.memory.usage = number("memory", "/memory.usage_in_bytes");
  stats.memory.max_usage = number("memory", "/memory.max_usage_in_bytes");
  stats.memory.limit = number("memory", "/memory.limit_in_bytes");
  // v1 writes "unlimited" as the highest multiple of the page size below 2^63.
  if (stats.memory.limit >= (1ull << 63) - (1ull << 20)) stats.memory.limit = UINT64_MAX;
  stats.memory.fail_count = number("memory", "/memory.failcnt");
  stats.memory.stat = parse_flat_keyed(text("memory", "/memory.stat"));

  stats.pids = number("pids", "/pids.current");
  stats.pids_limit = number("pids", "/pids.max");
  if (stats.pids_limit == UINT64_MAX) stats.pids_limit = 0;
  stats.io_service_bytes =
      parse_v1_block_entries(text("blkio", "/blkio.throttle.io_service_bytes_recursive"));
  stats.io_serviced = parse_v1_block_entries(text("blkio", "/blkio.throttle.io_serviced_recursive"));
  return stats;
}

Result<uint64_t> CgroupV1::oom_kills() const {
  const std::string& memory = directory_of("memory");
  if (memory.empty()) return uint64_t{0};
  TRY(std::string control, files::read(memory + "/memory.oom_control"));
  return parse_cgroup_number(find_cgroup_value(control, "oom_kill"));
}

Result<UniqueFd> CgroupV1::watch_oom() const {
  const std::string& memory = directory_of("memory");
  if (memory.empty()) return UniqueFd();
  UniqueFd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event) return Error::from_errno("create eventfd", {}, errno);
  TRY(UniqueFd control, open_file((memory + "/memory.oom_control").c_str(), O_RDONLY));
  CHECK(files::write(memory + "/cgroup.event_control", fmt::format("{} {}", event.get(), control.get())));
  return event;
}

Result<void> CgroupV1::remove(std::chrono::milliseconds timeout) {
  auto deadline = steady_clock::now() + timeout;
  for (const auto& directory : directories_) {
    for (int round = 0;; ++round) {
      auto removed = files::remove_tree(directory.path);
      if (removed) break;
      if (removed.error().kind() != Kind::WrongState || steady_clock::now() >= deadline) return removed;
      nap(round);
    }
  }
  return {};
}

}  // namespace berth::sys
