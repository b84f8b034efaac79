// Sandboxes: containers that functions/ runs events in. They are made and started by the same code as every
// container and have all its walls; what differs is given as SandboxWiring: their streams are descriptors of
// the caller, who may also look into the network namespace before anything runs, stop them before the
// program, freeze and thaw them without a word to anybody; and they end with the daemon: recovery removes
// what an earlier daemon left. Loop thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/containers.h"
#include "launch/exit_record.h"
#include "sys/cgroup_controls.h"
#include "sys/fd.h"
#include "sys/netns.h"

namespace berth::launch {
struct LaunchFailure;
}

namespace berth::engine {

class Container;
class Core;
class Engine;
struct SandboxLife;

/// Where a sandbox's start pauses.
enum class SandboxStart {
  Immediate,
  WhenReleased,  ///< everything but the program, which Sandbox::release() runs
};

struct SandboxWiring {
  std::vector<sys::UniqueFd> stdio;  ///< 0, 1, 2 of the program
  /// Called with the namespace, networks joined, before any process of the sandbox exists.
  std::function<Result<void>(const sys::NetworkNamespace&)> in_network = {};
  SandboxStart start = SandboxStart::Immediate;
};

struct SandboxRequest {
  CreateContainer container;
  /// Further mounts, as they are: host paths that the caller vouches for.
  std::vector<MountPoint> mounts = {};
  SandboxWiring wiring = {};
};

/// What a sandbox has used.
struct SandboxUsage {
  uint64_t memory_peak = 0;  ///< bytes
  uint64_t cpu_us = 0;
  uint64_t oom_kills = 0;  ///< processes killed for want of memory
};

/// A sandbox that is prepared or runs. Destroying the handle ends nothing.
class Sandbox {
 public:
  Sandbox(std::shared_ptr<Container> container, std::shared_ptr<SandboxLife> life);
  const std::string& id() const;

  /// Lets a prepared one run its program.
  Result<void> release();
  /// Returns when the program runs (it has been exec'd) or could not be started: then failure() says why.
  io::Task<Result<void>> started();
  const launch::LaunchFailure* failure() const;

  /// Writes of microseconds. freeze() does not wait until all processes stand still.
  Result<void> freeze();
  Result<void> thaw();

  /// Peak memory in bytes and CPU time, one read each; after the end their last values.
  uint64_t memory_peak() const;
  uint64_t cpu_microseconds() const;
  /// Reads files by path: for ends, not for every event.
  uint64_t oom_kills() const;

  /// Bytes of the group in tmpfs: /tmp and /dev/shm.
  uint64_t shared_memory() const;
  /// To be armed on a worker: tells when memory in use passes `bytes` (cgroup v1; else Unsupported).
  Result<sys::MemoryWatch> watch_memory(uint64_t bytes) const;
  Result<void> set_memory_limit(uint64_t bytes);

  /// Ids of its processes as the host sees them; none after the end.
  std::vector<pid_t> processes() const;
  bool has_ended() const;
  /// To the program.
  Result<void> signal(int number);
  /// SIGKILL, frozen or not; returns at once. A prepared one is given up.
  void kill();
  /// Returns when the program has ended and with it all processes. The record is that of berth's init: its
  /// exit code is 128 + n when the program was ended by signal n.
  io::Task<launch::ExitRecord> ended();

 private:
  std::shared_ptr<Container> container_;
  std::shared_ptr<SandboxLife> life_;
  sys::CgroupControls controls_;
};

class Sandboxes {
 public:
  explicit Sandboxes(Engine& engine);

  /// Returns when the program runs, or with WhenReleased when everything before it is done. A failure leaves
  /// nothing; its words are docker's. Sandboxes are removed when they end.
  io::Task<Result<std::unique_ptr<Sandbox>>> start(SandboxRequest request);
  /// Directories that the image's layers are unpacked in, topmost first. NotFound.
  Result<std::vector<std::string>> image_directories(std::string_view reference) const;

 private:
  Core& core_;
};

}  // namespace berth::engine
