// AgentSocket: the SSH agent that a RUN --mount=type=ssh sees. It is a socket of its own, with the owner and
// mode that the mount asks for, behind which the caller's agent answers. A step may list the agent's keys and
// have things signed; whatever else an agent can do (add and remove keys, lock, run providers) is refused
// here.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

#include "base/result.h"
#include "io/event_loop.h"
#include "io/task_group.h"
#include "sys/fd.h"

namespace berth::build {

class AgentSocket {
 public:
  struct Options {
    std::string path;   ///< of the new socket
    std::string agent;  ///< absolute path of the socket at which the caller's agent listens
    mode_t mode = 0600;
    uid_t uid = 0;
    gid_t gid = 0;
  };

  /// Listens from now on, until it is destroyed; the path stays, for whoever removes its directory.
  /// InvalidArgument: nothing listens at `agent`.
  static Result<std::unique_ptr<AgentSocket>> open(io::EventLoop& loop, const Options& options);
  AgentSocket(const AgentSocket&) = delete;

 private:
  AgentSocket(io::EventLoop& loop, std::string agent, sys::UniqueFd listener);
  io::Task<void> accept();
  io::Task<void> serve(sys::UniqueFd client);

  io::EventLoop& loop_;
  std::string agent_;
  sys::UniqueFd listener_;
  io::TaskGroup tasks_;
};

}  // namespace berth::build
