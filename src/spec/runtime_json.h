// The OCI runtime specification's documents: config.json and the parts of it that runtimes are handed alone.
#pragma once

#include <string_view>

#include "base/json_fwd.h"
#include "base/result.h"
#include "spec/runtime.h"

namespace berth::spec {

/// config.json. Bounded; unknown members are passed over, as the specification demands. InvalidArgument names
/// what is malformed; what is contradictory is found when the container is planned.
Result<RuntimeSpec> parse_runtime_spec(std::string_view text);
/// The `process` object alone (exec --process).
Result<Process> parse_runtime_process(const Json& object);
/// The `linux.resources` object alone (update --resources).
Result<Resources> parse_runtime_resources(const Json& object);

}  // namespace berth::spec
