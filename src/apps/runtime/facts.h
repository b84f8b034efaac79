// The host's facts as they hold for one container.
#pragma once

#include <vector>

#include "base/result.h"
#include "launch/host_facts.h"
#include "spec/runtime.h"

namespace berth::runtime {

/// As launch::detect_host_facts(). An ordinary user has no capabilities to give, but processes in a user
/// namespace that he has made have all of them there, except for what concerns the host alone.
Result<launch::HostFacts> facts_for(const std::vector<spec::Namespace>& namespaces);

}  // namespace berth::runtime
