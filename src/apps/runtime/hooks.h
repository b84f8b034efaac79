// Hooks: programs of the host that the specification lets a container's configuration name.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/result.h"
#include "spec/runtime.h"

namespace berth::runtime {

/// Runs the hooks in order, the state on their stdin, each within its timeout; ends at the first that fails.
struct HookPlace {
  std::string_view what;  ///< "prestart", ...
  std::string directory;  ///< where they begin: the bundle
  pid_t container = 0;    ///< 0: the runtime's own namespaces; else those of that process, with its root
};
Result<void> run_hooks(const std::vector<spec::Hook>& hooks, const HookPlace& place,
                       const std::string& state);

}  // namespace berth::runtime
