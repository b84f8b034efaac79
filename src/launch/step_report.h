// What passes between the new process and the keeper that made it, over a socket pair of packets, until exec
// closes the process's end:
//
//   process                               keeper
//      | -- MapUsers ----------------------> |  writes uid_map, gid_map
//      | <------------------------ Proceed - |
//      | -- Hooks -------------------------> |  only with AwaitHooks
//      | <------------------------ Proceed - |
//      | -- Console (with the pty's master)> |
//      | <------------------------ Proceed - |  only where the process outlives its creator
//      | -- Ready -------------------------> |  StartMode::WhenReleased only
//      | <------------------------ Proceed - |  on release()
//      | -- Executing ---------------------> |
//      | -- Listener (with its descriptor) > |  only when the filter notifies
//      | -- Failed (StepReport) -----------> |  only if the exec, or any step before, fails
//      X  end of file: the program runs
#pragma once

#include <cstdint>

namespace berth::launch {

/// Failures that have words of their own; the rest is told by errno.
enum class Reason : uint32_t {
  None,
  ProgramNotInPath,  ///< exec: "x": executable file not found in $PATH
  ProgramUnusable,   ///< exec: "/x": <errno>
  NoSuchUser,        ///< unable to find user x: no matching entries in passwd file
  NoSuchGroup,       ///< unable to find group x: no matching entries in group file
  IdOutOfRange,      ///< uids and gids must be in range 0-2147483647
  TooManyGroups,
  AccountFileTooLarge,  ///< /etc/passwd or /etc/group over the limit, or no ordinary file
  DirectoryOutside,     ///< the working directory lies outside the root
  DirectoryUnusable,    ///< chdir to cwd ("x") set in config.json failed: <errno>
  TargetInProc,         ///< "x" cannot be mounted because it is inside /proc
  TargetIsLink,         ///< the mount point must not be a symbolic link
  NotADevice,           ///< what should be the null device is something else
  BadPlan,
  Failpoint,          ///< a test wants this step to fail (failpoint.h)
  FilesystemMessage,  ///< subject ends in the filesystem's own words
};

enum class ProcessSays : uint32_t { MapUsers = 1, Console, Ready, Executing, Failed, Hooks, Listener };

struct StepReport {
  ProcessSays kind = ProcessSays::Failed;
  uint32_t step = 0;  ///< alternative of Step
  Reason reason = Reason::None;
  int32_t error = 0;  ///< errno, positive
  uint32_t subject_size = 0;
  char subject[492] = {};  ///< path or name, cut if need be
};
static_assert(sizeof(StepReport) == 512);

}  // namespace berth::launch
