// Hooks of a container: programs of the host that its devices' CDI specifications, or the NVIDIA hook, have
// run at points of its life. The engine runs none itself: a process of its own does
// (EngineOptions::hook_runner). They find the container described in a bundle as OCI runtimes have it, which
// lies below the run's folder until that is torn down.
#pragma once

#include <string>

#include "engine/lifecycle.h"
#include "engine/user_namespace.h"
#include "launch/keeper.h"

namespace berth::engine {

/// Before the launch: writes the bundle, and has the process wait before its root is pivoted to. Unsupported
/// in a user namespace. Nothing without hooks.
Result<void> prepare_hooks(Core& core, const ContainerRecord& record, const UserMaps& maps,
                           launch::LaunchRequest& request);

/// event::Hooks: runs those of the creation and lets the process go on, or ends it with run->start_problem.
void run_create_hooks(Core& core, const ContainerHandle& container, pid_t pid);
/// Once its program runs; what fails is logged.
void run_poststart_hooks(Core& core, const ContainerHandle& container);
/// For a worker, before the run's folder goes; what fails is logged. Also of a run that another engine began.
void run_poststop_hooks(const std::vector<std::string>& runner, const std::string& id,
                        const std::string& exec_dir);

}  // namespace berth::engine
