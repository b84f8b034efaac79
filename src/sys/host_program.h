// HostProgram: one of the host's own programs, started with its output in pipes. For the few things that a
// distribution's tool does better (mmdebstrap); never for anything from inside a container.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/result.h"
#include "sys/fd.h"

namespace berth::sys {

/// What host programs see of the environment: a plain one, plus the proxies that this process has. No HOME.
std::vector<std::string> host_environment();

class HostProgram {
 public:
  /// Looks `arguments[0]` up in the PATH that `environment` names. NotFound when there is no such program.
  /// stdin is /dev/null; the program leads a process group of its own.
  static Result<HostProgram> start(const std::vector<std::string>& arguments,
                                   const std::vector<std::string>& environment);
  HostProgram(HostProgram&& other) noexcept;
  HostProgram& operator=(HostProgram&&) = delete;
  /// Kills the group and reaps, when nobody waited.
  ~HostProgram();

  int standard_output() const { return output_.get(); }
  int standard_error() const { return error_.get(); }
  void close_output() { output_.reset(); }
  /// SIGTERM, or another signal, to the whole group.
  void signal_group(int signal) const;
  /// The exit status as a shell gives it: 128 + n after signal n.
  Result<int> wait();

 private:
  HostProgram() = default;
  pid_t pid_ = -1;
  UniqueFd output_;
  UniqueFd error_;
};

}  // namespace berth::sys
