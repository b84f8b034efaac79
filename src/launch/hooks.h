// Hooks: programs of the host that a container's specification names, run at points of its life.
// berth-runtime runs them itself; the engine, which has threads, through a process of its own
// (run_hook_document()).
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/json_fwd.h"
#include "base/result.h"
#include "spec/runtime.h"

namespace berth::launch {

struct HookPlace {
  std::string what;       ///< "prestart", ...
  std::string directory;  ///< where they begin: the bundle
  pid_t container = 0;    ///< 0: the caller's own namespaces; else those of that process, with its root
};
/// Runs the hooks in order, the state on their stdin, each within its timeout; ends at the first that fails.
/// Forks: for programs of one thread.
Result<void> run_hooks(const std::vector<spec::Hook>& hooks, const HookPlace& place,
                       const std::string& state);

/// Hooks of several points, one after the other.
struct HookStage {
  HookPlace place;
  std::vector<spec::Hook> hooks;
};
/// As config.json has them.
Json hook_list(const std::vector<spec::Hook>& hooks);
std::string encode_hooks(const std::vector<HookStage>& stages, const std::string& state);
/// Runs what encode_hooks() has written into a file. Its failure goes to stderr, as one line; the exit status
/// of a process.
int run_hook_document(const std::string& path);

}  // namespace berth::launch
