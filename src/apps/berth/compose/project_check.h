// Whether what a project's services refer to is there.
#pragma once

#include "apps/berth/compose/project.h"
#include "base/result.h"

namespace berth::cli::compose {

/// InvalidArgument, with file and line: a service refers to a service, network, volume, secret or config that
/// the project does not have.
Result<void> check_references(const Project& project);
/// InvalidArgument: settings of services that contradict each other, and names that are taken twice.
Result<void> check_consistency(const Project& project);
/// InvalidArgument: services depend on each other in a circle, which is named.
Result<void> check_cycles(const Project& project);

}  // namespace berth::cli::compose
