// StepRunner: where a RUN is executed. The real one is a container's sandbox (sandbox_runner.h); tests have
// another.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "build/graph.h"
#include "build/progress.h"
#include "io/cancel.h"
#include "io/task.h"
#include "spec/container.h"
#include "storage/snapshotter.h"

namespace berth::build {

/// A file or directory of this host.
struct HostMount {
  std::string path;
};
struct TmpfsMount {
  int64_t size = 0;  ///< bytes, 0: the kernel's default
};
/// Another root filesystem; with upper and work its changes go there.
struct OverlayMount {
  std::vector<std::string> lowers;  ///< top first
  std::string upper = {};
  std::string work = {};
};
/// A file made for the step alone; it never lies on a disk.
struct FileMount {
  std::string content;
  uint32_t mode = 0400;
  uint32_t uid = 0;
  uint32_t gid = 0;
};

/// An SSH agent, as a socket made for the step alone (agent_socket.h).
struct AgentMount {
  std::string agent;  ///< path of the socket at which the caller's agent listens
  uint32_t mode = 0600;
  uint32_t uid = 0;
  uint32_t gid = 0;
};

struct StepMount {
  std::string target;  ///< absolute, within the root
  std::variant<HostMount, TmpfsMount, OverlayMount, FileMount, AgentMount> source;
  bool readonly = false;
};

struct StepRequest {
  std::string id;  ///< 64 hex digits
  storage::OverlaySpec root;
  std::vector<std::string> args;
  std::vector<std::string> env;
  std::string cwd = "/";
  std::string user = {};
  StepNetwork network = StepNetwork::Bridge;
  std::string network_name = {};  ///< with Bridge: another network than the default, or "container:<name>"
  std::vector<StepMount> mounts = {};
  std::vector<std::string> extra_hosts = {};
  int64_t shm_size = 0;
  spec::ContainerResources resources = {};
};

struct StepOutcome {
  int exit_code = 0;
  bool oom_killed = false;
};

class StepOutput {
 public:
  virtual ~StepOutput() = default;
  virtual void write(OutputStream stream, std::string_view bytes) = 0;
};

class StepRunner {
 public:
  virtual ~StepRunner() = default;
  /// Runs the program to its end. Cancelling kills it and everything it started, and the task ends with
  /// Cancelled once it is gone. Whatever the end, nothing but what the program wrote to the root is left.
  virtual io::Task<Result<StepOutcome>> run(StepRequest request, StepOutput& output,
                                            io::CancelToken cancel) = 0;
  /// Ends what a daemon that crashed has left of its steps. Called once, before the first run().
  virtual io::Task<Result<void>> recover() = 0;
  /// Where the runner itself mounts things into every root, for the removal of what had to be made there.
  virtual std::vector<std::string> mount_targets() const = 0;
};

}  // namespace berth::build
