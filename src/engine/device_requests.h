// Devices that a container asks for by what they are (HostConfig.DeviceRequests: `--gpus`, `--device
// vendor.com/class=name`) instead of by their nodes: which driver serves a request, and what it changes in
// the container's specification.
//
//   cdi      the host's CDI specifications (cdi_catalog.h)
//   nvidia   nvidia-container-runtime-hook, where the host has it; else CDI's devices of nvidia.com/gpu
//   amd      CDI's devices of amd.com/gpu
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "engine/cdi_catalog.h"
#include "engine/records.h"
#include "spec/runtime.h"

namespace berth::engine {

/// What a host has to serve requests with.
struct DeviceDrivers {
  bool cdi = false;  ///< there are directories to look in
  CdiCatalog catalog = {};
  std::string nvidia_hook = {};  ///< path of nvidia-container-runtime-hook; empty: there is none
};
/// Reads the directories and looks for the hook: for a worker.
DeviceDrivers find_device_drivers(const std::vector<std::string>& cdi_directories);

/// The edits that serve the requests. InvalidArgument in docker's words: no driver has these capabilities,
/// count and ids at once; NotFound: a device that no specification has.
Result<spec::CdiEdits> serve_device_requests(const std::vector<spec::DeviceRequest>& requests,
                                             const DeviceDrivers& drivers);

/// The edits of `--runtime nvidia`, which takes the devices from the container's NVIDIA_VISIBLE_DEVICES: by
/// the hook, else by CDI. InvalidArgument: the host has neither.
Result<spec::CdiEdits> serve_nvidia_runtime(const spec::StringList& env, const DeviceDrivers& drivers);

/// Carries them out on a planned specification. Looks at the host's device nodes.
Result<void> apply_device_edits(const spec::CdiEdits& edits, bool privileged, spec::RuntimeSpec& spec);

}  // namespace berth::engine
