// Making a container's control group, or doing without one.
#pragma once

#include <memory>

#include "apps/runtime/container.h"
#include "apps/runtime/scope.h"
#include "apps/runtime/settings.h"
#include "base/result.h"
#include "spec/runtime.h"
#include "sys/cgroup.h"

namespace berth::runtime {

/// The group of a new container with its limits; its path is in the record, and saved, before it is there.
/// Where the settings have it that there is none: one that holds nothing, and a warning for every limit that
/// is asked for. Unsupported: one is demanded, and this host has none that can be written to. `stand_in` is
/// for make_scope(), where systemd makes the group.
Result<std::unique_ptr<sys::Cgroup>> make_group(const Settings& settings, Container& container,
                                                const spec::RuntimeSpec& spec, StandIn& stand_in);

}  // namespace berth::runtime
