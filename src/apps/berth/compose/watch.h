// Watching: source files that change are brought into running containers, as develop.watch says.
#pragma once

#include <string>
#include <vector>

#include "apps/berth/compose/session.h"

namespace berth::cli::compose {

/// Runs until interrupted. `services`: those to watch; empty: all that have rules.
Outcome<int> watch_project(Session& session, const std::vector<std::string>& services);

/// Whether `relative` (a path below the watched one) is left out by .dockerignore-style patterns. Pure.
bool is_ignored(const std::vector<std::string>& patterns, const std::string& relative);

}  // namespace berth::cli::compose
