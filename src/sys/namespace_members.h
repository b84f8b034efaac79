// The processes of a container without control groups: those of its pid namespace, found and added up through
// /proc. What ended and was reaped counts through its parent.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

namespace berth::sys {

/// The members of `init`'s pid namespace, `init` first; it alone when it shares the caller's namespace, and
/// nothing when it has gone. Namespaces below are left out.
std::vector<pid_t> pid_namespace_members(pid_t init);

struct ProcessUsage {
  uint64_t user_ns = 0;
  uint64_t kernel_ns = 0;
  uint64_t resident_bytes = 0;
  uint64_t processes = 0;
};
/// The sum over these processes; those that have gone meanwhile count nothing.
ProcessUsage usage_of_processes(const std::vector<pid_t>& pids);

}  // namespace berth::sys
