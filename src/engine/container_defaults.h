// What the engine gives containers that say nothing of it: dockerd's --dns, --default-shm-size and the like.
// It is written into a container when that is created.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "spec/container.h"

namespace berth::engine {

struct ContainerDefaults {
  spec::StringList dns = {};  ///< addresses
  spec::StringList dns_search = {};
  spec::StringList dns_options = {};
  std::string cgroupns_mode = {};  ///< "private", "host"; empty: private
  std::string ipc_mode = {};       ///< "private", "shareable"; empty: private
  int64_t shm_size = 0;            ///< bytes; 0: 64 MiB
  bool init = false;
  bool no_new_privileges = false;
  std::string seccomp = {};              ///< a profile, or "unconfined"; empty: berth's own
  std::string seccomp_name = "builtin";  ///< as info shows it: that, unconfined, or the profile's file
};

/// InvalidArgument names what is wrong.
Result<void> check_defaults(const ContainerDefaults& defaults);
/// What `host` has is left as it is.
void apply_defaults(const ContainerDefaults& defaults, spec::HostConfig& host);

}  // namespace berth::engine
