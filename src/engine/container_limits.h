// HostConfig's resource fields, checked as docker checks them and turned into the limits of a cgroup.
#pragma once

#include <string_view>
#include <vector>

#include "base/result.h"
#include "spec/container.h"
#include "spec/runtime.h"
#include "sys/cgroup.h"

namespace berth::engine {

/// `rules` is the device access list (spec.resources.devices). Reads the numbers of the block devices that
/// throttling names. InvalidArgument in docker's words; what the host cannot hold is for sys::check_limits().
Result<sys::CgroupLimits> limits_of(const spec::ContainerResources& resources,
                                    const std::vector<spec::DeviceRule>& rules);

/// Sentences for the user about what limits_of() had to round: processors below what the kernel can hold.
std::vector<std::string> rounding_warnings(const spec::ContainerResources& resources);

/// "c 1:3 mr", "a *:* rwm".
Result<spec::DeviceRule> parse_device_rule(std::string_view text);

}  // namespace berth::engine
