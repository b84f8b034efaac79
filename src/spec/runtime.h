// The OCI runtime specification (v1.3) as types: what engine and build decide, and what launch performs.
// Field names follow the specification's JSON in snake_case; an empty optional means "not given".
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace berth::spec {

struct Rlimit {
  std::string type;  ///< "RLIMIT_NOFILE"
  uint64_t hard = 0;
  uint64_t soft = 0;
};

struct Capabilities {  ///< names as "CAP_CHOWN"
  std::vector<std::string> bounding;
  std::vector<std::string> effective;
  std::vector<std::string> inheritable;
  std::vector<std::string> permitted;
  std::vector<std::string> ambient;
};

/// process.user of the specification, or docker's textual form that is resolved inside the root.
struct User {
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::optional<uint32_t> umask;
  std::vector<uint32_t> additional_gids;
  /// "name", "uid", "name:group", ...: when set, uid/gid/groups come from the root's passwd and group files.
  std::optional<std::string> name;
  /// Group names or numbers added to the resolved ones (docker's --group-add).
  std::vector<std::string> additional_groups;
};

struct ConsoleSize {
  uint16_t height = 0;
  uint16_t width = 0;
};

struct Scheduler {
  std::string policy;  ///< "SCHED_OTHER", ...
  int32_t nice = 0;
  int32_t priority = 0;
  std::vector<std::string> flags;  ///< "SCHED_FLAG_RESET_ON_FORK", ...
  uint64_t runtime = 0;            ///< nanoseconds, SCHED_DEADLINE
  uint64_t deadline = 0;
  uint64_t period = 0;
};

struct IoPriority {
  std::string io_class;  ///< "IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"
  int32_t priority = 0;
};

struct CpuAffinity {
  std::string initial;  ///< "0-3,7": before the process enters the container's cgroup
  std::string final_cpus;
};

struct Process {
  bool terminal = false;
  std::optional<ConsoleSize> console_size;
  std::string cwd = "/";
  std::vector<std::string> env;   ///< "NAME=value"
  std::vector<std::string> args;  ///< args[0] is looked up in the PATH of env, inside the root
  User user;
  std::optional<Capabilities> capabilities;  ///< none given: keep what the launcher has
  std::vector<Rlimit> rlimits;
  bool no_new_privileges = false;
  std::string apparmor_profile;
  std::string selinux_label;
  std::optional<int> oom_score_adj;
  std::optional<Scheduler> scheduler;
  std::optional<IoPriority> io_priority;
  CpuAffinity exec_cpu_affinity;
};

struct IdMapping {
  uint32_t container_id = 0;
  uint32_t host_id = 0;
  uint32_t size = 0;
};

struct Mount {
  std::string destination;           ///< absolute, inside the root; resolved beneath it
  std::string type;                  ///< "bind", "proc", "tmpfs", "sysfs", "devpts", "mqueue", "cgroup", ...
  std::string source;                ///< host path for binds
  std::vector<std::string> options;  ///< "ro", "nosuid", "rbind", "rprivate", "size=64m", ...
  /// Of an idmapped mount; with option "idmap" or "ridmap" and none given, the container's own.
  std::vector<IdMapping> uid_mappings = {};
  std::vector<IdMapping> gid_mappings = {};
};

struct Device {
  std::string path;  ///< inside the root
  char type = 'c';   ///< 'c', 'b', 'p'
  int64_t major = 0;
  int64_t minor = 0;
  std::optional<uint32_t> file_mode;
  std::optional<uint32_t> uid;
  std::optional<uint32_t> gid;
};

struct DeviceRule {
  bool allow = false;
  char type = 'a';               ///< 'a' (all), 'c', 'b'
  std::optional<int64_t> major;  ///< none: any
  std::optional<int64_t> minor;
  std::string access = "rwm";
};

struct WeightDevice {
  int64_t major = 0;
  int64_t minor = 0;
  std::optional<uint16_t> weight;
  std::optional<uint16_t> leaf_weight;
};

struct ThrottleDevice {
  int64_t major = 0;
  int64_t minor = 0;
  uint64_t rate = 0;  ///< bytes or operations per second
};

struct Resources {
  struct Memory {
    std::optional<int64_t> limit;        ///< bytes
    std::optional<int64_t> reservation;  ///< bytes
    std::optional<int64_t> swap;         ///< memory + swap, bytes; -1 unlimited
    std::optional<uint64_t> swappiness;
    std::optional<bool> disable_oom_killer;
    bool check_before_update = false;
  } memory;
  struct Cpu {
    std::optional<uint64_t> shares;
    std::optional<int64_t> quota;    ///< microseconds per period
    std::optional<uint64_t> period;  ///< microseconds
    std::optional<int64_t> realtime_runtime;
    std::optional<uint64_t> realtime_period;
    std::optional<uint64_t> burst;  ///< microseconds
    std::optional<int64_t> idle;
    std::string cpus;
    std::string mems;
  } cpu;
  struct BlockIo {
    std::optional<uint16_t> weight;
    std::optional<uint16_t> leaf_weight;
    std::vector<WeightDevice> weight_device;
    std::vector<ThrottleDevice> read_bps;
    std::vector<ThrottleDevice> write_bps;
    std::vector<ThrottleDevice> read_iops;
    std::vector<ThrottleDevice> write_iops;
  } block_io;
  std::optional<int64_t> pids_limit;  ///< -1 or 0: unlimited
  std::vector<DeviceRule> devices;
  std::map<std::string, uint64_t> hugepage_limits;  ///< "2MB" -> bytes
  struct Network {
    std::optional<uint32_t> class_id;
    std::map<std::string, uint32_t> priorities;  ///< interface -> priority
  } network;
  struct Rdma {
    std::optional<uint32_t> handles;
    std::optional<uint32_t> objects;
  };
  std::map<std::string, Rdma> rdma;            ///< device -> limits
  std::map<std::string, std::string> unified;  ///< raw cgroup v2 keys
};

enum class NamespaceType { Pid, Network, Mount, Ipc, Uts, User, Cgroup, Time };

struct Namespace {
  NamespaceType type;
  std::string path;  ///< empty: a new one; else join this file
};

struct SeccompArg {
  uint32_t index = 0;
  uint64_t value = 0;
  uint64_t value_two = 0;
  std::string op;  ///< "SCMP_CMP_EQ", ...
};

struct SeccompRule {
  std::vector<std::string> names;
  std::string action;  ///< "SCMP_ACT_ALLOW", ...
  std::optional<uint32_t> errno_ret;
  std::vector<SeccompArg> args;
};

struct Seccomp {
  std::string default_action;
  std::optional<uint32_t> default_errno_ret;
  std::vector<std::string> architectures;  ///< "SCMP_ARCH_X86_64", ...
  std::vector<std::string> flags;
  std::vector<SeccompRule> syscalls;
  std::string listener_path;
  std::string listener_metadata;
};

/// A program that the runtime runs at a point of the container's life, with its state on stdin.
struct Hook {
  std::string path;                             ///< absolute
  std::vector<std::string> args;                ///< with argv[0]; empty: the path
  std::optional<std::vector<std::string>> env;  ///< none given: what the one who runs it has
  std::optional<int64_t> timeout;               ///< seconds
};

struct Hooks {
  std::vector<Hook> prestart;
  std::vector<Hook> create_runtime;
  std::vector<Hook> create_container;
  std::vector<Hook> start_container;
  std::vector<Hook> poststart;
  std::vector<Hook> poststop;
};

struct TimeOffset {
  int64_t seconds = 0;
  uint32_t nanoseconds = 0;
};

struct MemoryPolicy {
  std::string mode;                ///< "MPOL_BIND", ...
  std::string nodes;               ///< "0-1"
  std::vector<std::string> flags;  ///< "MPOL_F_STATIC_NODES", ...
};

struct RuntimeSpec {
  std::string oci_version = "1.3.0";
  Process process;
  struct Root {
    std::string path;  ///< directory; berth's own containers give an overlay in launch::LaunchRequest instead
    bool readonly = false;
  } root;
  std::string hostname;
  std::string domainname;
  std::vector<Mount> mounts;
  std::map<std::string, std::string> annotations;

  std::vector<Namespace> namespaces;
  std::vector<IdMapping> uid_mappings;
  std::vector<IdMapping> gid_mappings;
  std::vector<Device> devices;
  std::string cgroups_path;
  Resources resources;
  std::string rootfs_propagation;  ///< "private", "slave", "shared"
  std::optional<Seccomp> seccomp;
  std::map<std::string, std::string> sysctl;
  std::vector<std::string> masked_paths;
  std::vector<std::string> readonly_paths;
  std::map<std::string, TimeOffset> time_offsets;  ///< "monotonic", "boottime"
  std::string personality;                         ///< "LINUX", "LINUX32"; empty: as it is
  std::optional<MemoryPolicy> memory_policy;
  std::map<std::string, std::string> net_devices;  ///< host's name -> name inside; empty: the same
  std::string mount_label;
  bool intel_rdt = false;  ///< asked for
  Hooks hooks;
};

}  // namespace berth::spec
