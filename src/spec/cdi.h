// The Container Device Interface (CDI, tags.cncf.io/container-device-interface, versions 0.3.0 to 1.1.0):
// what vendors of devices let a container have, by names as "nvidia.com/gpu=0". Pure; the folders that
// specifications lie in are the engine's affair (engine/cdi_catalog.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "spec/runtime.h"

namespace berth::spec {

struct CdiDeviceNode {
  std::string path;       ///< inside
  std::string host_path;  ///< empty: the same
  char type = 0;          ///< 'b', 'c', 'u', 'p'; 0: that of the host's node
  int64_t major = 0;      ///< 0: that of the host's node
  int64_t minor = 0;
  std::optional<uint32_t> file_mode;
  std::string permissions;  ///< of "rwm"; empty: all
  std::optional<uint32_t> uid;
  std::optional<uint32_t> gid;
};

/// What a container is changed by: to be found in a specification for all its devices, and in each device.
struct CdiEdits {
  std::vector<std::string> env;
  std::vector<CdiDeviceNode> device_nodes;
  std::vector<Mount> mounts;
  Hooks hooks;
  std::vector<uint32_t> additional_gids;
  bool intel_rdt = false;  ///< asked for

  bool empty() const;
  void append(const CdiEdits& more);
};

struct CdiDevice {
  std::string name;
  CdiEdits edits;
};

struct CdiSpec {
  std::string kind;  ///< "vendor.com/class"
  std::vector<CdiDevice> devices;
  CdiEdits edits;
};

/// A specification in JSON or YAML. InvalidArgument names what is malformed; members that are not known are
/// refused, since a device without one of its edits is not the device that its vendor means.
Result<CdiSpec> parse_cdi_spec(std::string_view text);

/// Whether `text` is "vendor/class=name" by CDI's rules for the three.
bool is_cdi_name(std::string_view text);

}  // namespace berth::spec
