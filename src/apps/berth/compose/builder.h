// From a merged file to a Project: services with their variables and dependencies, profiles, resources;
// checked.
#pragma once

#include "apps/berth/compose/project.h"

namespace berth::cli::compose {

/// Fills in what `file` says; name, directory and environment of `project` are known.
Result<void> build_project(Project& project, const LoadOptions& options, Value file);

}  // namespace berth::cli::compose
