// What a container inherits: the image's configuration beneath the client's, and the engine's defaults
// beneath HostConfig. Pure; the rules are docker's.
#pragma once

#include "base/result.h"
#include "spec/container.h"
#include "spec/image.h"

namespace berth::engine {

/// Fills in from the image what the client did not give. InvalidArgument "no command specified" when nothing
/// runs in the end.
Result<void> merge_image(spec::ContainerConfig& config, const spec::ExecutionConfig& image);

/// Defaults that inspect shows: shm size, ipc and cgroup namespace modes, log driver, restart policy, network
/// mode, runtime, swap.
void fill_defaults(spec::HostConfig& host);

/// The arguments of the process: entrypoint followed by cmd.
std::vector<std::string> command_line(const spec::ContainerConfig& config);

}  // namespace berth::engine
