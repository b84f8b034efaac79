// Control groups v2.
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/format.h"
#include "base/rollback.h"
#include "sys/cgroup_devices.h"
#include "sys/cgroup_stats.h"
#include "sys/cgroup_versions.h"
#include "sys/sub_ids.h"

namespace berth::sys {
namespace {

namespace files = cgroup_files;

// Those that count threads last: they may be enabled in a group with processes, which makes it one of
// threads.
constexpr std::string_view kWanted[] = {"memory", "io", "hugetlb", "rdma", "cpuset", "cpu", "pids"};

bool has_word(std::string_view text, std::string_view word) {
  while (!text.empty()) {
    size_t end = std::min(text.find_first_of(" \n"), text.size());
    if (text.substr(0, end) == word) return true;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return false;
}

/// Moves every process of a group into its sub-group kGroupOfProcesses, as a group with sub-groups that have
/// controllers may not have processes itself.
Result<void> move_processes_down(const std::string& directory) {
  std::string leaf = directory + kGroupOfProcesses;
  if (::mkdir(leaf.c_str(), 0755) != 0 && errno != EEXIST)
    return Error::from_errno("create cgroup", leaf, errno);
  // Forks in between appear in the next round.
  for (int round = 0; round < 100; ++round) {
    TRY(std::string text, files::read(directory + "/cgroup.procs"));
    if (text.empty()) return {};
    for (uint64_t pid : parse_number_list(text)) {
      auto moved = files::write(leaf + "/cgroup.procs", fmt::to_string(pid));
      if (!moved && moved.error().errno_value() != ESRCH) return moved;
    }
  }
  return failure(Kind::WrongState, "processes of cgroup {} multiply faster than they are moved", directory);
}

/// Enables berth's controllers for the children of `directory`, as far as it has them itself.
Result<void> delegate(const std::string& directory) {
  TRY(std::string available, files::read(directory + "/cgroup.controllers"));
  TRY(std::string enabled, files::read(directory + "/cgroup.subtree_control"));
  for (std::string_view controller : kWanted) {
    if (!has_word(available, controller) || has_word(enabled, controller)) continue;
    std::string order = fmt::format("+{}", controller);
    auto written = files::write(directory + "/cgroup.subtree_control", order);
    // EBUSY: it has processes; EOPNOTSUPP: that, and controllers of threads.
    bool occupied =
        !written && (written.error().errno_value() == EBUSY || written.error().errno_value() == EOPNOTSUPP);
    if (occupied) {
      CHECK(move_processes_down(directory));
      written = files::write(directory + "/cgroup.subtree_control", order);
    }
    // One controller may be impossible (cpu with realtime processes in the group): the others still count,
    // and a limit that needs this one fails with its own file's name.
    if (!written && written.error().kind() == Kind::Forbidden) return written;
  }
  return {};
}

}  // namespace

CgroupV2::CgroupV2(const CgroupHost& host, std::string path)
    : Cgroup(std::move(path), host.features()),
      hierarchy_(host.hierarchies().front()),
      directory_(hierarchy_.mount + hierarchy_.base + path_),
      core_(directory_) {}

Result<void> CgroupV2::prepare_parents() {
  size_t base = hierarchy_.mount.size() + hierarchy_.base.size();
  CHECK(delegate(directory_.substr(0, base)));
  for (size_t slash = directory_.find('/', base + 1); slash != std::string::npos;
       slash = directory_.find('/', slash + 1)) {
    std::string parent = directory_.substr(0, slash);
    if (::mkdir(parent.c_str(), 0755) != 0 && errno != EEXIST) {
      return Error::from_errno("create cgroup", parent, errno);
    }
    CHECK(delegate(parent));
  }
  return {};
}

Result<void> CgroupV2::make(const CgroupLimits& limits, std::vector<std::string>& warnings) {
  Rollback rollback;
  int made = ::mkdir(directory_.c_str(), 0755);
  if (made != 0 && errno == EEXIST) {
    // An empty leftover has limits of its own: make it anew.
    if (::rmdir(directory_.c_str()) != 0 && errno != ENOENT) {
      return failure(Kind::AlreadyExists, "container's cgroup is not empty: {}", directory_);
    }
    made = ::mkdir(directory_.c_str(), 0755);
  }
  // The parents are missing, or were made before controllers were handed down.
  bool bare = features_.pids && !files::exists(directory_ + "/pids.max");
  if (made != 0 || bare) {
    if (made == 0) ::rmdir(directory_.c_str());
    CHECK(prepare_parents());
    made = ::mkdir(directory_.c_str(), 0755);
  }
  if (made != 0) return Error::from_errno("create cgroup", directory_, errno);
  rollback.add([this] { ::rmdir(directory_.c_str()); });
  CHECK(write_limits(limits, warnings));
  rollback.keep();
  return {};
}

bool CgroupV2::exists() const {
  return files::exists(directory_);
}

Result<void> CgroupV2::write_limits(const CgroupLimits& limits, std::vector<std::string>& warnings) {
  auto plan = plan_v2_limits(limits);
  CHECK(files::perform(
      plan, [&](const CgroupWrite&) -> const std::string& { return directory_; }, warnings));
  // In a user namespace the kernel takes no device programs, and lets nobody make device nodes either.
  if (limits.devices.empty() || !in_initial_user_namespace()) return {};
  TRY(UniqueFd directory, open_file(directory_.c_str(), O_RDONLY | O_DIRECTORY));
  return attach_device_rules(directory.get(), limits.devices);
}

std::vector<std::string> CgroupV2::procs_files() const {
  return {directory_ + "/cgroup.procs"};
}

std::vector<std::pair<std::string, std::string>> CgroupV2::directories() const {
  return {{directory_, ""}};
}

Result<CgroupEntry> CgroupV2::entry() const {
  CgroupEntry entry;
  TRY(entry.directory, open_file(directory_.c_str(), O_RDONLY | O_DIRECTORY));
  return entry;
}

Result<void> CgroupV2::attach(pid_t pid) const {
  return files::write(directory_ + "/cgroup.procs", fmt::to_string(pid));
}

Result<void> CgroupV2::freeze(std::chrono::milliseconds timeout) {
  return core_.freeze(timeout);
}
Result<void> CgroupV2::thaw() {
  return core_.thaw();
}
Result<FreezeState> CgroupV2::freeze_state() const {
  return core_.freeze_state();
}

Result<void> CgroupV2::kill_all() {
  auto killed = core_.kill();
  if (killed || killed.error().kind() != Kind::NotFound) return killed;
  if (!exists()) return killed;
  bool frozen = core_.freeze(std::chrono::milliseconds(500)).has_value();
  auto each = files::kill_each(directory_);
  if (frozen) CHECK(core_.thaw());
  return each;
}

Result<std::vector<pid_t>> CgroupV2::pids() const {
  return files::pids_below(directory_);
}

Result<CgroupStats> CgroupV2::stats() const {
  if (!exists()) return failure(Kind::NotFound, "cgroup {} is gone", path_);
  CgroupStats stats;
  auto number = [&](const char* file) {
    auto value = files::read_number(directory_ + file);
    return value ? *value : 0;
  };
  auto text = [&](const char* file) {
    auto content = files::read(directory_ + file);
    return content ? *std::move(content) : std::string();
  };
  auto cpu = parse_flat_keyed(text("/cpu.stat"));
  stats.cpu.total_ns = cpu["usage_usec"] * 1000;
  stats.cpu.user_ns = cpu["user_usec"] * 1000;
  stats.cpu.kernel_ns = cpu["system_usec"] * 1000;
  stats.cpu.periods = cpu["nr_periods"];
  stats.cpu.throttled_periods = cpu["nr_throttled"];
  stats.cpu.throttled_ns = cpu["throttled_usec"] * 1000;

  stats.memory.usage = number("/memory.current");
  stats.memory.max_usage = number("/memory.peak");
  auto limit = files::read_number(directory_ + "/memory.max");
  stats.memory.limit = limit ? *limit : UINT64_MAX;
  stats.memory.fail_count = parse_cgroup_number(find_cgroup_value(text("/memory.events"), "max"));
  stats.memory.stat = parse_flat_keyed(text("/memory.stat"));

  stats.pids = number("/pids.current");
  stats.pids_limit = number("/pids.max");
  if (stats.pids_limit == UINT64_MAX) stats.pids_limit = 0;
  parse_v2_io_stat(text("/io.stat"), stats.io_service_bytes, stats.io_serviced);
  return stats;
}

Result<uint64_t> CgroupV2::oom_kills() const {
  if (!features_.memory) return uint64_t{0};
  TRY(std::string events, files::read(directory_ + "/memory.events"));
  return parse_cgroup_number(find_cgroup_value(events, "oom_kill"));
}

Result<UniqueFd> CgroupV2::watch_oom() const {
  if (!features_.memory) return UniqueFd();
  UniqueFd watch(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!watch) return Error::from_errno("create inotify descriptor", {}, errno);
  std::string file = directory_ + "/memory.events";
  if (::inotify_add_watch(watch.get(), file.c_str(), IN_MODIFY | IN_DELETE_SELF) < 0) {
    return Error::from_errno("watch", file, errno);
  }
  return watch;
}

Result<void> CgroupV2::remove(std::chrono::milliseconds timeout) {
  auto removed = files::remove_tree(directory_);
  if (removed || removed.error().kind() != Kind::WrongState) return removed;
  // Exiting processes are still in: the kernel tells when the last one has gone.
  CHECK(core_.wait_empty(timeout));
  return files::remove_tree(directory_);
}

}  // namespace berth::sys
