// Control groups behind one interface: limits, freezing, killing, statistics and out-of-memory events of one
// container's group on cgroup v1, v2 and hybrid hosts. Everything lies below a parent group of berth's own;
// nothing outside it is written. Groups outlive the daemon: no destructor removes one.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "sys/fd.h"

namespace berth::sys {

enum class CgroupVersion {
  V1,      ///< separate hierarchies, no usable v2 mount
  V2,      ///< the unified hierarchy alone
  Hybrid,  ///< controllers in v1 hierarchies and a v2 mount without controllers
  None,    ///< nothing mounted or writable: containers run without groups
};

struct DeviceThrottle {
  int64_t major = 0;
  int64_t minor = 0;
  uint64_t rate = 0;  ///< bytes or operations per second
};

struct DeviceWeight {
  int64_t major = 0;
  int64_t minor = 0;
  uint16_t weight = 0;  ///< 10..1000
};

/// One line of a device access list; later rules win over earlier ones.
struct DeviceAccessRule {
  bool allow = false;
  char type = 'a';               ///< 'a' (all), 'c', 'b'
  std::optional<int64_t> major;  ///< none: any
  std::optional<int64_t> minor;
  std::string access = "rwm";
};

/// What a container may use. An empty optional, string or list means "not asked for".
struct CgroupLimits {
  std::optional<int64_t> memory;              ///< bytes; -1: unlimited
  std::optional<int64_t> memory_reservation;  ///< bytes
  std::optional<int64_t> memory_swap;         ///< memory plus swap in bytes; -1: unlimited
  std::optional<uint64_t> swappiness;         ///< 0..100
  std::optional<bool> oom_kill_disable;
  std::optional<uint64_t> cpu_shares;  ///< 2..262144, 1024 is one part
  std::optional<int64_t> cpu_quota;    ///< microseconds per period; -1: unlimited
  std::optional<uint64_t> cpu_period;  ///< microseconds
  std::optional<uint64_t> cpu_burst;   ///< microseconds
  std::optional<int64_t> cpu_idle;     ///< 0 or 1: SCHED_IDLE for the whole group
  std::optional<int64_t> cpu_realtime_runtime;
  std::optional<uint64_t> cpu_realtime_period;
  std::string cpuset_cpus;  ///< "0-2,7"
  std::string cpuset_mems;
  std::optional<int64_t> pids;  ///< -1 or 0: unlimited
  std::optional<uint16_t> blkio_weight;
  std::optional<uint16_t> blkio_leaf_weight;
  std::vector<DeviceWeight> blkio_weight_device;
  std::vector<DeviceThrottle> read_bps;
  std::vector<DeviceThrottle> write_bps;
  std::vector<DeviceThrottle> read_iops;
  std::vector<DeviceThrottle> write_iops;
  std::vector<DeviceAccessRule> devices;               ///< empty: access is not restricted
  std::map<std::string, uint64_t> hugepages;           ///< "2MB" -> bytes
  std::optional<uint32_t> network_class;               ///< net_cls
  std::map<std::string, uint32_t> network_priorities;  ///< net_prio: interface -> priority
  std::map<std::string, std::string> rdma;             ///< device -> "hca_handle=2 hca_object=2000"
  std::map<std::string, std::string> unified;          ///< raw v2 files: "memory.high" -> "1000000"

  /// Turns docker's NanoCpus into quota and period (100 ms).
  void set_nano_cpus(int64_t nano_cpus);
};

/// What this host's groups can hold; `info` reports it and check_limits() decides by it.
struct CgroupFeatures {
  CgroupVersion version = CgroupVersion::None;
  bool memory = false;
  bool memory_reservation = false;
  bool swap = false;
  bool swappiness = false;
  bool oom_kill_disable = false;
  bool cpu_shares = false;
  bool cpu_quota = false;
  bool cpu_realtime = false;
  bool cpuset = false;
  bool pids = false;
  bool blkio_weight = false;
  bool blkio_weight_device = false;
  bool blkio_throttle = false;  ///< bps and iops, read and write
  bool devices = false;
  bool freezer = false;
  bool hugepages = false;
  bool network_class = false;
  bool network_priorities = false;
  bool rdma = false;
  std::string available_cpus;  ///< "0-1"
  std::string available_mems;
  unsigned cpu_count = 1;
};

/// Compares what is asked with what the host can hold, in docker's words. What cannot be held is taken out
/// of `limits` and answered as a warning; what is contradictory or out of range is InvalidArgument.
Result<std::vector<std::string>> check_limits(const CgroupFeatures& features, CgroupLimits& limits);

/// One mounted hierarchy as berth uses it.
struct CgroupHierarchy {
  std::vector<std::string> controllers;  ///< v1: {"cpu", "cpuacct"}; v2: those in cgroup.controllers
  std::string mount;                     ///< "/sys/fs/cgroup/cpu,cpuacct"
  std::string base;                      ///< below mount: "" or berthd's own group when mount is not writable
  bool unified = false;                  ///< cgroup2
};

/// The host's hierarchies and berth's place in them.
class CgroupHost {
 public:
  /// Reads /proc/self/mountinfo and /proc/self/cgroup and probes what is writable. Groups are placed below
  /// each mount's root, as docker does, so that they are not torn down with the daemon's service; where
  /// that is not writable (rootless, delegated) below the daemon's own group.
  static Result<CgroupHost> detect();
  /// The same from given texts; `probe_root` is put before every mount point that is touched (tests).
  static Result<CgroupHost> detect_in(std::string_view mountinfo, std::string_view self_cgroup,
                                      std::string probe_root);

  CgroupVersion version() const { return features_.version; }
  const CgroupFeatures& features() const { return features_; }
  const std::vector<CgroupHierarchy>& hierarchies() const { return hierarchies_; }
  /// The group path for a container: `parent` (HostConfig.CgroupParent, or the daemon's --cgroup-parent;
  /// empty: "/berth") plus `name`. ".." and empty names are InvalidArgument.
  static Result<std::string> group_path(std::string_view parent, std::string_view name);
  /// Removes berth's parent directories ("/berth") that have become empty.
  void remove_parent(std::string_view parent = {}) const;

 private:
  std::vector<CgroupHierarchy> hierarchies_;
  CgroupFeatures features_;
};

struct CgroupCpuStats {
  uint64_t total_ns = 0;
  uint64_t user_ns = 0;
  uint64_t kernel_ns = 0;
  std::vector<uint64_t> per_cpu_ns;  ///< v1 only
  uint64_t periods = 0;
  uint64_t throttled_periods = 0;
  uint64_t throttled_ns = 0;
};

struct CgroupMemoryStats {
  uint64_t usage = 0;      ///< bytes, page cache included
  uint64_t max_usage = 0;  ///< bytes; 0 when the kernel does not tell
  uint64_t limit = 0;      ///< bytes; UINT64_MAX when unlimited
  uint64_t fail_count = 0;
  std::map<std::string, uint64_t> stat;  ///< memory.stat as it stands
};

struct CgroupBlockEntry {
  uint64_t major = 0;
  uint64_t minor = 0;
  std::string op;  ///< "read", "write", "sync", "async", "discard", "total"
  uint64_t value = 0;
};

struct CgroupStats {
  CgroupCpuStats cpu;
  CgroupMemoryStats memory;
  uint64_t pids = 0;
  uint64_t pids_limit = 0;  ///< 0: unlimited
  std::vector<CgroupBlockEntry> io_service_bytes;
  std::vector<CgroupBlockEntry> io_serviced;
};

/// How a new process enters the group: v2 and hybrid give `directory` for CLONE_INTO_CGROUP; every
/// descriptor in `procs` is a cgroup.procs (or v1 tasks) file that takes "0\n" from the entering process or
/// a pid. With `directory` used, `procs` has still to be written (it never contains the directory's own).
struct CgroupEntry {
  UniqueFd directory;           ///< -1 on pure v1
  std::vector<UniqueFd> procs;  ///< O_WRONLY | O_CLOEXEC
};

enum class FreezeState { Thawed, Freezing, Frozen };

/// One container's group. Not thread safe; each call is a few file operations of microseconds, except where
/// a comment says otherwise.
class Cgroup {
 public:
  struct Created;
  /// Makes the directories in every useful hierarchy and sets the limits. `path` comes from
  /// CgroupHost::group_path(). AlreadyExists when a non-empty group is there; an empty leftover is reused.
  /// Nothing is left behind on failure. On a host without groups the result is a group that does nothing.
  static Result<Created> create(const CgroupHost& host, std::string_view path, const CgroupLimits& limits);
  /// The group at `path` made by an earlier daemon. NotFound when it is gone.
  static Result<std::unique_ptr<Cgroup>> open(const CgroupHost& host, std::string_view path);

  virtual ~Cgroup() = default;
  Cgroup(const Cgroup&) = delete;
  Cgroup& operator=(const Cgroup&) = delete;

  /// "/berth/<id>", the same in all hierarchies, below CgroupHierarchy::mount + base.
  const std::string& path() const { return path_; }
  /// The cgroup.procs files a process must be written to for membership in all hierarchies (the unified
  /// one included). For recording where a keeper should put exec'ed processes.
  virtual std::vector<std::string> procs_files() const = 0;
  /// The directory of each hierarchy with its v1 controllers ("cpu,cpuacct"; "" for v2): for the sandbox's
  /// own /sys/fs/cgroup.
  virtual std::vector<std::pair<std::string, std::string>> directories() const = 0;
  /// Descriptors for the launcher.
  virtual Result<CgroupEntry> entry() const = 0;
  /// Moves a process in (all hierarchies).
  virtual Result<void> attach(pid_t pid) const = 0;

  /// Sets limits on the live group (docker update). Warnings as of check_limits().
  Result<std::vector<std::string>> apply(const CgroupLimits& limits);

  /// Stops all processes; waits until the kernel says frozen, `timeout` at most (DeadlineExceeded, thawed
  /// again). Usually well below a millisecond; call it from a worker thread when that may not hold.
  virtual Result<void> freeze(std::chrono::milliseconds timeout = std::chrono::seconds(10)) = 0;
  virtual Result<void> thaw() = 0;
  virtual Result<FreezeState> freeze_state() const = 0;
  /// SIGKILL to every process of the group, also to a frozen one; returns when the signals are sent.
  virtual Result<void> kill_all() = 0;
  /// Process ids, as this pid namespace sees them, of the group and its sub-groups.
  virtual Result<std::vector<pid_t>> pids() const = 0;
  virtual Result<CgroupStats> stats() const = 0;

  /// The number of processes the kernel has killed in this group for want of memory.
  virtual Result<uint64_t> oom_kills() const = 0;
  /// A descriptor that becomes readable when oom_kills() may have changed: an eventfd (v1) or an inotify
  /// descriptor (v2). The reader drains it with read(2) and asks oom_kills() again; it also becomes
  /// readable when the group is removed.
  virtual Result<UniqueFd> watch_oom() const = 0;

  /// Removes the directories, sub-groups made by the container included, never above or beside the own
  /// path. Processes must have left: waits for exiting ones `timeout` at most (worker thread), then
  /// WrongState. Already gone is success.
  virtual Result<void> remove(std::chrono::milliseconds timeout = std::chrono::seconds(2)) = 0;

 protected:
  Cgroup(std::string path, CgroupFeatures features)
      : path_(std::move(path)), features_(std::move(features)) {}
  /// Writes limits that check_limits() has passed.
  virtual Result<void> write_limits(const CgroupLimits& limits, std::vector<std::string>& warnings) = 0;

  std::string path_;
  CgroupFeatures features_;
};

struct Cgroup::Created {
  std::unique_ptr<Cgroup> cgroup;
  std::vector<std::string> warnings;
};

}  // namespace berth::sys
