// LaunchRequest: everything a container's start is planned from. The engine fills it in; plan_launch() turns
// it into a LaunchPlan without touching the system.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "launch/streams.h"
#include "spec/runtime.h"

namespace berth::launch {

/// The root is an overlay, mounted inside the container's own mount namespace: the host never sees a mount.
struct OverlayRoot {
  std::vector<std::string> lowers;  ///< topmost first; at least one
  std::string upper;                ///< empty (with work): a read-only overlay
  std::string work;
  /// Further overlay options. "volatile" where nobody keeps the upper directory (--rm, build steps): taking
  /// the mount down then does not flush it to disk.
  std::vector<std::string> options;
  /// Hooks that run before the pivot see the container's mounts below this directory; empty: there are none.
  std::string seen_at = {};
};

/// The root is a directory (an OCI bundle); it is bound recursively, mounts below it are seen.
struct DirectoryRoot {
  std::string path;
  /// Hooks that run before the pivot see the container's mounts below `path`.
  bool seen_at_path = false;
};

using Root = std::variant<OverlayRoot, DirectoryRoot>;

/// Where the container's output is kept (format: log_format.h).
struct LogConfig {
  enum class Mode { None, File };
  Mode mode = Mode::None;
  std::string path;        ///< older files are path.1 (newest) ... path.N
  int64_t max_size = -1;   ///< bytes per file; -1: one file without bound
  uint32_t max_files = 1;  ///< files kept in all, the current one included
};

/// One group of the host's hierarchies that the container's first process enters before it unshares its
/// cgroup namespace. The directory exists and is berth's own.
struct CgroupDirectory {
  std::string path;  ///< "/sys/fs/cgroup/memory/berth/<id>"
};

enum class InitMode {
  None,   ///< the program is pid 1
  Berth,  ///< docker's --init: berth's init is pid 1, forwards signals and reaps
};

enum class StartMode {
  Immediate,     ///< run the program as soon as the sandbox stands
  WhenReleased,  ///< stop before the program; Keeper::release() lets it run (network set-up, OCI
                 ///< create/start)
};

struct LaunchRequest {
  std::string id;          ///< the container's id, for ps and messages; at most 128 bytes
  spec::RuntimeSpec spec;  ///< root.path and resources are not used here: see root and cgroups
  Root root;
  StdinMode stdin_mode = StdinMode::Closed;
  LogConfig log;
  std::string exec_directory;  ///< absolute; exists; gets "keeper.sock"
  std::string exit_path;       ///< absolute; where the exit record is written (exit_record.h)
  std::vector<CgroupDirectory> cgroups;
  /// Path of the file to read the OOM count from (v1: memory.oom_control, v2: memory.events); empty: none.
  std::string oom_path;
  /// With it, the network namespace is LaunchFds::network_namespace and spec.namespaces' entry is ignored.
  bool network_from_fd = false;
  /// With it, the sysfs of the spec's first mount of one is LaunchFds::sysfs (not in a user namespace).
  bool sysfs_from_fd = false;
  /// The process gets LaunchFds::stdio as its own (OCI runtime callers); stdin_mode and log do not apply.
  bool inherits_stdio = false;
  /// The creator is asked before the root is pivoted to (OCI hooks, network devices; event::Hooks).
  bool awaits_hooks = false;
  /// Why not: OCI callers' --no-pivot and --no-new-keyring.
  bool moves_root = false;
  bool keeps_keyring = false;
  /// The process keeps the creator's supplementary groups.
  bool keeps_groups = false;
  /// Without a mount namespace in the spec the process changes to its root, a directory, and nothing is
  /// mounted, made or hidden in it. Otherwise that is refused.
  bool may_share_mounts = false;
  /// For a container in a user namespace of its own the creator opens mount sources and makes device nodes
  /// (direct launch only).
  bool creator_prepares = false;
  /// Calls that the filter denies are told, and answered as before (event::Denied).
  bool explains_denials = false;
  InitMode init = InitMode::None;
  StartMode start = StartMode::Immediate;
};

/// One more process in a running container.
struct ExecRequest {
  std::string token;  ///< names the exec in events and commands; 1 to 128 bytes of [a-zA-Z0-9_.-]
  spec::Process process;
  std::optional<spec::Seccomp> seccomp;  ///< the container's own; none for privileged ones
  StdinMode stdin_mode = StdinMode::Closed;
  /// The groups the process enters (the container's own).
  std::vector<CgroupDirectory> cgroups;
  /// The namespaces of the container's spec: those it does not share with the host are joined.
  std::vector<spec::Namespace> namespaces;
  bool network_from_fd = false;  ///< as in the LaunchRequest
  bool explains_denials = false;
  std::optional<spec::MemoryPolicy> memory_policy;
  std::string personality;
  std::string container_id;   ///< whose session keyring it joins; empty: none
  bool keeps_groups = false;  ///< as in the LaunchRequest
};

}  // namespace berth::launch
