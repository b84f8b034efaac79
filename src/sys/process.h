// Starting berth's own helper programs without fork: posix_spawn, descriptors given explicitly.
#pragma once

#include <sys/types.h>

#include <array>
#include <string>
#include <vector>

#include "base/result.h"
#include "sys/fd.h"

namespace berth::sys {

struct SpawnedFd {
  int from = -1;
  int to = -1;  ///< 3 or more, and lower than any descriptor in `from`s of later entries
};

struct SpawnRequest {
  int program = -1;                    ///< descriptor of an executable file; -1: `path`
  std::string path = {};               ///< of one of the host's programs
  std::vector<std::string> arguments;  ///< with argv[0]
  std::vector<std::string> environment;
  std::array<int, 3> stdio = {-1, -1, -1};  ///< -1: /dev/null
  std::vector<SpawnedFd> fds;               ///< all others are closed (they are CLOEXEC)
};

/// A copy of a descriptor, CLOEXEC, above the numbers that SpawnRequest::fds gives out.
Result<UniqueFd> clear_of_passed(int fd);

/// Starts it with no signal blocked or ignored. The caller reaps it.
Result<pid_t> spawn_process(const SpawnRequest& request);

/// Reaps a child that has ended or is just about to. Nothing to reap is no error.
void reap_process(pid_t pid);

}  // namespace berth::sys
