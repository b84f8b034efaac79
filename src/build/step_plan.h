// From a StepRequest to a LaunchRequest: the sandbox of a RUN is the default sandbox of containers, with the
// step's own mounts and limits. Pure.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "build/step_runner.h"
#include "launch/host_facts.h"
#include "launch/launch_request.h"
#include "sys/cgroup.h"

namespace berth::build {

/// Files of the host that were made for the step.
struct StepFiles {
  std::string directory;  ///< of the keeper's socket and exit record
  std::string hosts;
  std::string hostname;
  std::string resolv_conf;
  std::vector<std::string> files;  ///< of each FileMount and AgentMount, in the order of the request's mounts
};

/// Without cgroups and namespaces, which are the runner's to make.
Result<launch::LaunchRequest> plan_step(const StepRequest& request, const StepFiles& files,
                                        const launch::HostFacts& host);

/// Memory, cpu and device limits of a RUN.
Result<sys::CgroupLimits> step_limits(const spec::ContainerResources& resources,
                                      const std::vector<spec::DeviceRule>& devices);

/// Targets that plan_step() mounts over in every root.
std::vector<std::string> default_mount_targets(const launch::HostFacts& host);

}  // namespace berth::build
