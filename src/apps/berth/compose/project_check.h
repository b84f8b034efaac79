// Whether what a project's services refer to is there.
#pragma once

#include "apps/berth/compose/project.h"
#include "base/result.h"

namespace berth::cli::compose {

/// InvalidArgument, with file and line: a service refers to a service, network, volume, secret or config that
/// the project does not have.
Result<void> check_references(const Project& project);
/// InvalidArgument: settings of services that contradict each other.
Result<void> check_consistency(const Project& project);
/// InvalidArgument: two of these services give their containers the same name.
Result<void> check_container_names(const Project& project, const std::set<std::string>& services);
/// InvalidArgument: services depend on each other in a circle, which is named.
Result<void> check_cycles(const Project& project);

}  // namespace berth::cli::compose
