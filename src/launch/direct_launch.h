// Creating a process by a plan without a keeper, for callers that do not stay: an OCI runtime's init becomes
// the child of whoever reaps orphans. The same steps, performed by the same executor.
//
//   create:  clone_process(...), follow() to Ready, end; the process waits on `start_listener`
//   start:   connect to the listener, follow() to Running
//   exec:    clone_process(...), follow() to Running
#pragma once

#include <sys/types.h>

#include <array>
#include <functional>

#include "base/result.h"
#include "launch/host_facts.h"
#include "launch/keeper.h"
#include "launch/plan.h"
#include "sys/fd.h"

namespace berth::launch {

struct DirectRequest {
  std::array<int, 3> stdio{0, 1, 2};
  unsigned inherited = 0;             ///< descriptors 3 to 2 + inherited go to the program
  sys::UniqueFd start_listener = {};  ///< a listening socket of packets, with StartMode::WhenReleased
  int container_init = -1;            ///< exec: pidfd of the container's init
};

/// What the creator does when the process asks for it. A failure ends the process.
struct DirectCallbacks {
  std::function<Result<void>(pid_t)> hooks = {};
  std::function<Result<void>(sys::UniqueFd master)> console = {};
  std::function<Result<void>(sys::UniqueFd listener)> seccomp = {};
};

enum class DirectPhase {
  Ready,    ///< created: it waits for its start
  Running,  ///< the program has been exec'd
};

/// A process that is being created. Its end of life is the caller's affair.
struct DirectProcess {
  pid_t pid = -1;
  sys::UniqueFd pidfd;
  sys::UniqueFd sync;  ///< what the process says (step_report.h)
  std::string uid_map;
  std::string gid_map;
  uint16_t rows = 0;  ///< of its terminal, in characters; 0: as the kernel has it
  uint16_t columns = 0;
};

/// Clones. For programs of one thread. On failure nothing stays.
Result<DirectProcess> clone_process(const LaunchPlan& plan, DirectRequest request);

/// Kills it and waits until it has gone. Once more is harmless.
void end_process(DirectProcess& process);

/// Listens until the process is Ready or Running. A failure is the process's own words (`failure`, if given,
/// says more), and the process is gone.
Result<DirectPhase> follow(DirectProcess& process, const DirectCallbacks& callbacks,
                           LaunchFailure* failure = nullptr);

}  // namespace berth::launch
