// Mounts of processes that run: trees cloned here and put in place in their mount namespace, by a short-lived
// static program that enters it (a program with threads cannot).
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "sys/fd.h"

namespace berth::sys {

struct DetachedBind {
  std::string source;  ///< host path, a directory or a file
  bool recursive = true;
  bool read_only = false;
  bool read_only_recursive = false;
};
/// A private, detached copy of the mount at `source`.
Result<UniqueFd> clone_bind(const DetachedBind& bind);

/// A tmpfs that is mounted nowhere yet; options as mount(8) writes them: "size=1m", "mode=700", "noexec",
/// "ro".
Result<UniqueFd> make_detached_tmpfs(const std::vector<std::string>& options);

/// Puts a detached mount on `target` in the mount namespace of `pid`, making directory or file for it if
/// there is none. `program` is berth-keeper's descriptor. Blocks for about a millisecond: for a worker.
Result<void> attach_in_namespace(int program, int pid, const UniqueFd& tree, const std::string& target);
/// Takes the topmost mount away from `target`; what is open stays usable until it is closed.
Result<void> detach_in_namespace(int program, int pid, const std::string& target);

}  // namespace berth::sys
