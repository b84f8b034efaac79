// Hooks: programs of the host that the specification lets a container's configuration name.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/result.h"
#include "spec/runtime.h"

namespace berth::runtime {

/// Runs the hooks in order, the state on their stdin, each within its timeout; ends at the first that fails.
/// `container` 0: in the runtime's own namespaces; a pid: in those of that process, with its root.
Result<void> run_hooks(const std::vector<spec::Hook>& hooks, std::string_view what, const std::string& state,
                       pid_t container = 0);

}  // namespace berth::runtime
