// Containers: every use case on containers and execs that a client can ask for. Loop thread only. Operations
// that change something run to their end even when the task that waits for them is destroyed (a client that
// hangs up does not leave a container half started). References are full ids, unambiguous prefixes or names.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/attach.h"
#include "engine/events.h"
#include "engine/log_stream.h"
#include "engine/process_table.h"
#include "engine/records.h"
#include "engine/stats.h"
#include "io/task.h"
#include "storage/archive.h"
#include "storage/byte_stream.h"
#include "storage/copy_archive.h"

namespace berth::engine {

class Core;

struct CreateContainer {
  spec::CreateRequest request;
  std::string name = {};  ///< empty: one is made up
  std::optional<spec::Platform> platform = {};
  /// How far a read-only bind that says nothing of it reaches: into the mounts below its source, or (before
  /// API 1.44) not.
  enum class ReadOnlyReach { Recursive, TopOnly } read_only_reach = ReadOnlyReach::Recursive;
};
struct CreatedContainer {
  std::string id;
  std::vector<std::string> warnings;
};

enum class WaitCondition { NotRunning, NextExit, Removed };
struct WaitOutcome {
  int64_t status_code = 0;
  std::string error;  ///< empty: none
};

/// A registered wait. Result() may be destroyed while it waits, and called again.
class ExitWaiter {
 public:
  virtual ~ExitWaiter() = default;
  virtual io::Task<WaitOutcome> result() = 0;
};

struct StopOptions {
  std::string signal = {};  ///< empty: the container's, else SIGTERM
  std::optional<int> timeout =
      {};  ///< seconds until SIGKILL; negative: never; none: the container's, else 10
};

/// Changes of a container that need no restart (live_update.cc).
struct LiveUpdate {
  spec::PortMap publish = {};    ///< as HostConfig.PortBindings
  spec::PortMap unpublish = {};  ///< bindings to end; without any listed: all of that port
  std::vector<spec::MountRequest> mounts = {};
  std::vector<std::string> unmount = {};  ///< destinations
  std::vector<std::string> env = {};      ///< "NAME=value", "NAME" removes; from the next start on
};

/// A file of /run/secrets, never shown by inspect (secrets.cc).
struct Secret {
  std::string id;       ///< its file's name
  std::string content;  ///< at most 512 KiB
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t mode = 0400;
};

/// A saved state of what a container has written (container_snapshots.cc).
struct ContainerSnapshot {
  std::string name;
  Timestamp created{};
  uint64_t bytes = 0;
};

enum class RemoveVolumes { No, Yes };
enum class Force { No, Yes };
struct RemoveContainer {
  Force force = Force::No;
  RemoveVolumes volumes = RemoveVolumes::No;
  bool link = false;  ///< remove a --link name instead of the container
};

enum class ListScope { Running, All };
struct ListContainers {
  ListScope scope = ListScope::Running;
  int limit = 0;  ///< the newest n, whatever their state; 0: all
  Filters filters = {};
};

struct ContainerSize {
  uint64_t writable = 0;  ///< SizeRw: bytes the container has written
  uint64_t root = 0;      ///< SizeRootFs: the image's and the writable bytes
};

struct CommitOptions {
  std::string repository = {};  ///< empty: an image without name
  std::string tag = {};
  std::string comment = {};
  std::string author = {};
  bool pause = true;
  std::vector<std::string> changes = {};             ///< Dockerfile instructions
  std::optional<spec::ContainerConfig> config = {};  ///< overrides the container's
};

struct PruneContainersReport {
  std::vector<std::string> ids;
  uint64_t reclaimed_bytes = 0;
};

class Containers {
 public:
  explicit Containers(Core& core) : core_(core) {}

  io::Task<Result<CreatedContainer>> create(CreateContainer request);
  /// NotFound "No such container: x"; InvalidArgument for an ambiguous prefix.
  Result<ContainerPtr> find(std::string_view reference) const;
  /// Newest first. InvalidArgument for an unknown filter.
  Result<std::vector<ContainerPtr>> list(const ListContainers& query) const;
  io::Task<Result<ContainerSize>> size(std::string reference);

  /// NotModified when it runs. A program that cannot be started: the kind tells little, exit code 126, 127 or
  /// 128 is in the record and the message is docker's.
  io::Task<Result<void>> start(std::string reference);
  /// NotModified when it does not run.
  io::Task<Result<void>> stop(std::string reference, StopOptions options);
  io::Task<Result<void>> restart(std::string reference, StopOptions options);
  /// A name ("KILL", "SIGKILL") or number; empty: SIGKILL, and then it returns when the container has ended.
  io::Task<Result<void>> kill(std::string reference, std::string signal);
  io::Task<Result<void>> pause(std::string reference);
  io::Task<Result<void>> unpause(std::string reference);
  io::Task<Result<void>> remove(std::string reference, RemoveContainer options);
  io::Task<Result<void>> rename(std::string reference, std::string new_name);
  /// Returns warnings.
  io::Task<Result<std::vector<std::string>>> update(std::string reference, spec::UpdateRequest request);
  /// At once on a running container, and kept for its next starts. All or nothing within each kind. Returns
  /// sentences for the user.
  io::Task<Result<std::vector<std::string>>> update_live(std::string reference, LiveUpdate change);
  /// For the next start: kept until the container is removed. WrongState while it runs.
  io::Task<Result<void>> set_secret(std::string reference, Secret secret);
  io::Task<Result<ContainerSnapshot>> snapshot(std::string reference, std::string name);
  io::Task<Result<std::vector<ContainerSnapshot>>> snapshots(std::string reference);
  io::Task<Result<void>> remove_snapshot(std::string reference, std::string name);
  /// What the container had written when the snapshot was made becomes its present again. WrongState while it
  /// runs.
  io::Task<Result<void>> rollback(std::string reference, std::string name);
  /// A new container of the same configuration with a copy of what this one has written; host ports that are
  /// fixed, addresses and volumes without a name are its own.
  io::Task<Result<CreatedContainer>> clone(std::string reference, std::string name);
  io::Task<Result<PruneContainersReport>> prune(Filters filters);
  /// Registered when this returns: an exit that follows is not missed.
  Result<std::unique_ptr<ExitWaiter>> wait(std::string_view reference, WaitCondition condition);

  /// What stands in the way of attaching, asked before the connection is taken over.
  Result<ContainerPtr> check_attach(std::string_view reference) const;
  /// Hands the client's connection to the container; for one that is not started yet, it sees the first byte.
  /// Returns when handed over, not when it ends.
  io::Task<Result<void>> attach(std::string reference, Attach request);
  io::Task<Result<void>> resize(std::string reference, uint16_t height, uint16_t width);
  /// InvalidArgument for `logs` of a container whose log driver is "none".
  Result<std::unique_ptr<LogStream>> logs(std::string_view reference, LogRequest request);
  Result<std::unique_ptr<StatsStream>> stats(std::string_view reference);
  io::Task<Result<ProcessTable>> top(std::string reference, std::string ps_arguments);

  io::Task<Result<std::vector<storage::Change>>> changes(std::string reference);
  /// The merged root as a tar. `out` is written on a worker thread and must live until this returns.
  io::Task<Result<void>> export_root(std::string reference, storage::ByteSink& out);
  io::Task<Result<storage::PathStat>> stat_path(std::string reference, std::string path);
  /// `ready` gets the path's stat (on the loop thread) before the first byte is written to `out` (on a
  /// worker).
  io::Task<Result<void>> copy_out(std::string reference, std::string path, storage::ByteSink& out,
                                  std::function<void(const storage::PathStat&)> ready);
  /// `owner` ContainerUser: what is new belongs to the container's user, if its
  /// configuration names one (docker's copyUIDGID).
  enum class CopyOwner { Archive, ContainerUser };
  io::Task<Result<void>> copy_in(std::string reference, std::string path, storage::ByteSource& archive,
                                 storage::CopyInOptions options, CopyOwner owner = CopyOwner::Archive);
  /// Returns the new image's id.
  io::Task<Result<Digest>> commit(std::string reference, CommitOptions options);

  io::Task<Result<std::string>> exec_create(std::string reference, spec::ExecConfig config);
  /// NotFound "No such exec instance: x".
  Result<ExecPtr> find_exec(std::string_view id) const;
  /// Asked before the connection is taken over: WrongState when it has run or its container cannot.
  Result<ExecPtr> check_exec_start(std::string_view id) const;
  struct ExecStart {
    bool detach = false;
    std::optional<std::array<uint16_t, 2>> console_size = {};  ///< height, width
    /// The client's connection unless detached; framing, streams and detach keys follow from the exec.
    sys::UniqueFd socket = {};
    std::string received = {};  ///< bytes read behind the request
    Framing framing = Framing::Raw;
    bool hang_up = false;  ///< a terminal goes with its client, unless that detaches
  };
  /// Returns once the process runs (or could not be started); its output goes to the connection.
  io::Task<Result<void>> exec_start(std::string id, ExecStart options);
  io::Task<Result<void>> exec_resize(std::string id, uint16_t height, uint16_t width);

 private:
  Core& core_;
};

}  // namespace berth::engine
