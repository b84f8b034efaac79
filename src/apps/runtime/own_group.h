// Making a container's control group and class of service, or doing without, and taking them away.
#pragma once

#include <memory>

#include "apps/runtime/container.h"
#include "apps/runtime/resctrl.h"
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

/// The class of service that the configuration asks for, in the record, and saved. Its `directory` is empty
/// where none is asked for.
Result<ResctrlGroup> make_class_of_service(Container& container, const spec::RuntimeSpec& spec);

/// Kills what is in the group, and removes it, its scope and the class of service. For creations that fail.
void remove_groups(const Record& record, sys::Cgroup* group);

}  // namespace berth::runtime
