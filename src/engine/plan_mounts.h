// The mounts of a container in the order in which they are made: defaults, then what was asked for, parents
// before children. Pure.
#pragma once

#include "base/result.h"
#include "engine/records.h"
#include "spec/runtime.h"

namespace berth::engine {

/// Adds binds, volumes, tmpfs and the engine's own files to the default mounts of `spec`; a mount that was
/// asked for replaces the default one at the same place. Also /dev/shm's size and host IPC's /dev/shm.
Result<void> plan_mounts(const ContainerRecord& record, spec::RuntimeSpec& spec);

/// Options of a tmpfs as `--tmpfs path:options` takes them, checked; with noexec, nosuid and nodev in front.
Result<std::vector<std::string>> parse_tmpfs_options(std::string_view text);

}  // namespace berth::engine
