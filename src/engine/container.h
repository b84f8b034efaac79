// The living side of a container: what exists only while the daemon runs. Internal to engine/; clients see
// ContainerRecord. Owned by the table of containers and by whoever works on it.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/containers.h"
#include "engine/records.h"
#include "engine/restart_policy.h"
#include "io/sync.h"
#include "launch/keeper.h"
#include "sys/cgroup.h"

namespace berth::engine {

/// One process of `exec`, from create until its container is gone.
struct Exec {
  ExecRecord record;
  io::Event settled;  ///< it runs, or it could not be started
  std::optional<launch::LaunchFailure> failure;
  io::Event exited;
  Timestamp started_at{};
  bool internal = false;  ///< a health probe: no events, not listed
};

/// One life of a container's process: from the spawn of its keeper to the keeper's end.
struct Run {
  std::optional<launch::Keeper> keeper;  ///< none while the sandbox is being prepared
  std::unique_ptr<sys::Cgroup> cgroup;
  std::vector<std::string> endpoints;  ///< ids of network endpoints
  io::Event settled;                   ///< it runs, or could not be started
  std::optional<launch::LaunchFailure> failure;
  std::string start_problem;  ///< why it could not be started, where the keeper cannot tell (hooks, criu)
  pid_t pid = 0;
  io::Event exited;
  std::map<std::string, std::shared_ptr<Exec>> execs;  ///< running, by token
  std::map<uint64_t, std::string> attachments;         ///< id -> exec token, empty for the container's own

  // For checkpoints (checkpoint.cc, restore.cc).
  io::Event streams_told;
  std::array<uint64_t, 3> streams{};  ///< inode numbers of the pipes that it was given; 0: none
  pid_t criu = 0;                     ///< restores it
  io::Event criu_ready;               ///< criu waits, or it could not be started
  bool checkpointed = false;          ///< it ends because a checkpoint was made: for good
};

/// A registered wait; shared between the container and the waiter.
struct WaitState {
  WaitCondition condition = WaitCondition::NotRunning;
  std::optional<WaitOutcome> outcome;
  io::Event done;
};

class Container {
 public:
  explicit Container(ContainerRecord value) : record(std::move(value)) { torn_down.set(); }

  ContainerRecord record;
  /// Held by operations that change what the container is; never while waiting for its process to end.
  io::Mutex operation;
  std::shared_ptr<Run> run;  ///< null: no process and none on its way
  /// Set when nothing of an earlier run is left (its cgroup and endpoints are gone).
  io::Event torn_down;
  /// Gone from the table: a holder of the pointer must not act on it any more.
  bool removed = false;
  bool removing = false;  ///< a removal is under way
  /// Connections that attached before the start.
  std::vector<launch::Attachment> pending;
  std::vector<std::shared_ptr<WaitState>> waits;
  /// Counts starts and stops, so that a delayed restart knows whether it is still wanted.
  uint64_t generation = 0;
  RestartHistory restarts;
  /// A user has asked for the end that is to come: no restart follows it.
  bool stop_requested = false;
  std::vector<std::shared_ptr<Exec>> execs;
  /// Its health check has failed and it is being ended for a restart (on-unhealthy).
  bool unhealthy = false;
  /// Wakes the health checks' sleep when the run ends.
  std::shared_ptr<io::Event> health_stop;
  bool forwarding = false;  ///< its output is being sent by its log driver

  /// The record as handed out to clients, sharing ownership of this.
  static ContainerPtr share(const std::shared_ptr<Container>& container) {
    return ContainerPtr(container, &container->record);
  }
};
using ContainerHandle = std::shared_ptr<Container>;

}  // namespace berth::engine
