// KeeperSetup: the part of a plan that berth-keeper itself acts on, as opposed to the steps of the new
// process.
#pragma once

#include <cstdint>

#include "launch/steps.h"

namespace berth::launch {

/// What the keeper itself needs: how to create the process and what to do with its streams.
struct KeeperSetup {
  Text id;
  uint64_t clone_flags = 0;  ///< CLONE_NEW* for clone3
  Text cgroup;               ///< v2 directory for CLONE_INTO_CGROUP; empty: the steps enter by cgroup.procs
  Text pid_namespace;  ///< path of a pid namespace that the process is to be born into; empty: see flags
  uint16_t slots = kFirstFreeSlot;  ///< size of the slot table
  uint8_t terminal = 0;
  uint8_t stdin_mode = 0;  ///< StdinMode
  uint8_t wait_for_release = 0;
  uint8_t join_container = 0;  ///< exec: born into the container's pid namespace
  uint8_t uses_init = 0;       ///< the process will exec berth's init
  uint8_t restores = 0;        ///< the process will be criu, which makes the container's own (command::Adopt)
  uint16_t rows = 0;           ///< terminal size; 0: leave
  uint16_t columns = 0;
  Text exec_directory;
  Text exit_path;
  Text oom_path;
  Text log_path;  ///< empty: no log
  int64_t log_max_size = -1;
  uint32_t log_max_files = 1;
  Text uid_map;  ///< lines for /proc/<pid>/uid_map; empty: no new user namespace
  Text gid_map;
  uint16_t denial_error = 0;  ///< errno for calls that the filter notifies of; 0: it does not
  uint16_t fail_at = 0;       ///< tests: the n-th step (from 1) fails instead of being performed
  Text time_offsets;  ///< lines for /proc/self/timens_offsets: the creator unshares a time namespace first
  template <class A>
  void fields(A& a) {
    a(id, clone_flags, cgroup, pid_namespace, slots, terminal, stdin_mode, wait_for_release, join_container,
      uses_init, restores, rows, columns, exec_directory, exit_path, oom_path, log_path, log_max_size,
      log_max_files, uid_map, gid_map, denial_error, fail_at, time_offsets);
  }
};

}  // namespace berth::launch
