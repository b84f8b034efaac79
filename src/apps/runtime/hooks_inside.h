// startContainer hooks: programs among the container's own files.
#pragma once

#include <string>

#include "apps/runtime/container.h"
#include "base/result.h"
#include "spec/runtime.h"

namespace berth::runtime {

/// Runs the container's startContainer hooks in order, the state on their stdin, each within its timeout;
/// ends at the first that fails. An image may have put anything in their place: they run as the container's
/// process will, with its user, capabilities, groups, limits and filter, and bring nothing of the host's
/// along.
Result<void> run_hooks_inside(const Container& container, const spec::RuntimeSpec& spec,
                              const std::string& state);

}  // namespace berth::runtime
