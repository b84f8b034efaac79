// What the engine remembers of containers and execs: plain values, complete enough that api/ can answer every
// inspect from them. A ContainerRecord is what lies in the database; runtime objects (keeper, cgroup,
// waiters) are not here.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/digest.h"
#include "spec/container.h"

namespace berth::engine {

/// docker's State.Status. Legal changes: transitions.h.
enum class Status { Created, Running, Paused, Restarting, Removing, Exited, Dead };
std::string_view to_string(Status status);
/// Of Running and Paused (and Restarting, which docker counts as running).
bool is_alive(Status status);

enum class HealthStatus { None, Starting, Healthy, Unhealthy };
std::string_view to_string(HealthStatus status);  ///< "none", "starting", "healthy", "unhealthy"

/// One run of a health check.
struct HealthProbe {
  Timestamp start;
  Timestamp end;
  int exit_code = 0;   ///< 0 healthy, 1 unhealthy, -1 could not run or timed out
  std::string output;  ///< at most 4096 bytes
};

struct Health {
  HealthStatus status = HealthStatus::None;
  int failing_streak = 0;
  std::deque<HealthProbe> log;  ///< the last five
};

struct ContainerState {
  Status status = Status::Created;
  int pid = 0;  ///< of the init in berthd's pid namespace; 0 when not running
  int exit_code = 0;
  bool oom_killed = false;
  std::string error;                      ///< why the last start failed
  std::vector<std::string> denied_calls;  ///< by the filter, with --explain-denials; each once
  Timestamp started{};
  Timestamp finished{};
  Health health;  ///< status None: no health check
};

/// A mount as resolved at create: docker's inspect .Mounts.
struct MountPoint {
  spec::MountType type = spec::MountType::Bind;
  std::string name = {};         ///< of the volume, or the image reference
  std::string source = {};       ///< host path; empty for tmpfs
  std::string destination = {};  ///< clean and absolute
  std::string driver = {};       ///< "local" for volumes
  std::string mode = {};         ///< as written after the last ':' of a bind ("ro,z")
  bool read_write = true;
  std::string propagation = {};  ///< "rprivate", ...; empty for volumes
  // Not shown by docker, needed to mount.
  std::string subpath = {};             ///< of a volume or image
  std::optional<Digest> chain_id = {};  ///< of an image: what is mounted, also when the image has gone
  bool no_copy = false;                 ///< volumes: do not initialise from the image
  bool non_recursive = false;           ///< bind, not rbind
  bool read_only_recursive = true;      ///< read-only reaches mounts below
  bool force_recursive = false;         ///< ... or the start fails
  bool create_source = false;           ///< -v: a missing host directory is made
  bool anonymous = false;               ///< a volume without a name of its own
  std::vector<std::string> tmpfs_options = {};  ///< mount options of a tmpfs, or of a volume with options
  /// Filled in at start: what is mounted is this filesystem with `source` as its device, not a bind.
  std::string filesystem = {};
  friend bool operator==(const MountPoint&, const MountPoint&) = default;
};

struct ContainerRecord {
  std::string id;    ///< 64 hex digits
  std::string name;  ///< without '/'
  Timestamp created{};
  Digest image_id;
  std::optional<Digest> chain_id;  ///< top layer of the image; none: it has no layers
  std::string platform = "linux";
  spec::ContainerConfig config;  ///< merged with the image's
  spec::HostConfig host_config;  ///< with defaults filled in
  /// Networks the container is on, by network name; with addresses while it runs.
  spec::EndpointMap endpoints;
  /// NetworkSettings.Ports: what is published while it runs; exposed ports have an empty list.
  spec::PortMap ports;
  std::vector<MountPoint> mounts;
  ContainerState state;
  int restart_count = 0;
  /// Stopped by a user: `unless-stopped` and back-off leave it alone.
  bool manually_stopped = false;
  std::string path;  ///< what runs: entrypoint[0] or cmd[0]
  std::vector<std::string> args;
  // Host paths.
  std::string hostname_path;
  std::string hosts_path;
  std::string resolv_conf_path;
  std::string log_path;
  /// Filled in at start: the host's directory that is /dev/shm inside, with --ipc shareable or container:X.
  std::string shm_path;
  std::vector<std::string> exec_ids;

  std::string short_id() const { return id.substr(0, 12); }
};

/// A record as handed out: shared with the engine, which may change it on the loop thread between two
/// suspensions of the holder. Copy what must stay.
using ContainerPtr = std::shared_ptr<const ContainerRecord>;

struct ExecRecord {
  std::string id;
  std::string container_id;
  spec::ExecConfig config;
  bool running = false;
  std::optional<int> exit_code;  ///< docker's null until it has ended
  int pid = 0;
  bool started = false;
  bool open_stdin = false;
  bool open_stdout = false;
  bool open_stderr = false;
};
using ExecPtr = std::shared_ptr<const ExecRecord>;

struct VolumeRecord {
  std::string name;
  std::string driver = "local";
  std::string mountpoint;  ///< host path of its data
  Timestamp created{};
  spec::StringMap labels;    ///< anonymous ones carry com.docker.volume.anonymous
  spec::StringMap options;   ///< "type", "o", "device", "size"
  std::string renamed_from;  ///< while a rename is under way: where its data may still lie
  bool anonymous() const { return labels.contains("com.docker.volume.anonymous"); }
};

}  // namespace berth::engine
