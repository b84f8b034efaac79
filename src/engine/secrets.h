// Run-time secrets: files that a container finds in /run/secrets, in memory, and that no inspect shows.
// Between runs they lie in the container's own directory, which only root can enter. Internal to engine/.
#pragma once

#include <string>

#include "base/result.h"
#include "engine/core.h"

namespace berth::engine {

/// Whether the container has any.
bool has_secrets(const Core& core, const std::string& container_id);
/// Puts them into memory for a start and tells the folder to mount at /run/secrets.
Result<std::string> prepare_secrets(Core& core, const std::string& container_id);
/// Where prepare_secrets() mounts.
std::string secrets_mount(const std::string& exec_dir);

}  // namespace berth::engine
