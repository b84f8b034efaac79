// Plugins: docker-NAME programs (compose, buildx) that add commands, found where docker looks for them.
#pragma once

#include <optional>
#include <span>

#include "apps/berth/context.h"

namespace berth::cli {

/// Replaces this program by the plugin that is called words[0], if there is one, pointed at berth's engine.
/// Returns nothing when there is none, and a failure when it cannot be started.
std::optional<Failure> run_plugin(Context& context, std::span<const char* const> words);

}  // namespace berth::cli
