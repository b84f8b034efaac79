// Processes that are born into a container which is there already: execs, and hooks that run in it.
#pragma once

#include <string>
#include <vector>

#include "apps/runtime/container.h"
#include "base/result.h"
#include "launch/plan.h"
#include "spec/runtime.h"

namespace berth::runtime {

/// A process with the container's groups, namespaces, filter and keyring. `init` is a descriptor of the
/// container's first process; `subgroups` are groups below the container's own, as "[CONTROLLER,...:]PATH".
/// An ordinary user's caller is in the container's user namespace afterwards.
Result<launch::ExecPlan> plan_inside(const Container& container, const spec::RuntimeSpec& spec,
                                     spec::Process process, int init,
                                     const std::vector<std::string>& subgroups);

}  // namespace berth::runtime
