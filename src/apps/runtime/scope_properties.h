// What systemd is told of a container: its scope's name and properties. Pure.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "sys/cgroup.h"
#include "sys/dbus_message.h"
#include "sys/systemd.h"

namespace berth::runtime {

/// Of a cgroupsPath "slice:prefix:name", or of none: "berth-runtime-<id>.scope". InvalidArgument: of another
/// form, or with names that are no units'.
Result<sys::ScopeName> scope_name(const std::string& cgroups_path, const std::string& id);

/// The limits that systemd has a property for, so that it keeps them when it looks after the group. The
/// others are in the group's files alone. InvalidArgument: a value in `unified` that is none.
Result<std::vector<sys::DbusProperty>> limit_properties(const sys::CgroupLimits& limits);

/// Of annotations "org.systemd.property.NAME", values as GVariant writes them ("true", "uint64 5", "'text'",
/// "['a', 'b']"). Engines copy annotations of images: only such that order and end units are taken
/// (After, Before, CollectMode, DefaultDependencies, Description, KillSignal, TimeoutStopUSec,
/// TimeoutStopSec), none that could undo a limit. InvalidArgument: another one, or a value that cannot be
/// read.
Result<std::vector<sys::DbusProperty>> annotation_properties(
    const std::map<std::string, std::string>& annotations);

}  // namespace berth::runtime
