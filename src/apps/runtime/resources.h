// The specification's resources as a group's limits.
#pragma once

#include "base/result.h"
#include "spec/runtime.h"
#include "sys/cgroup.h"

namespace berth::runtime {

/// `devices` included, as given.
sys::CgroupLimits limits_of(const spec::Resources& resources);

/// The host's hierarchies, looked at once.
Result<const sys::CgroupHost*> group_host();

constexpr std::string_view kOwnParent = "/berth-runtime";

/// The group that a configuration asks for: cgroupsPath, or "/berth-runtime/<id>". InvalidArgument for the
/// form of systemd's driver and for paths with "..".
Result<std::string> group_path(const std::string& cgroups_path, const std::string& id);

/// The folder that groups without a cgroupsPath share goes with the last of them.
void remove_own_parent(const std::string& group);

}  // namespace berth::runtime
