// Mount options as OCI and docker write them, sorted into what the kernel wants to know.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace berth::launch {

struct MountOptions {
  enum class Bind { No, Single, Recursive };
  Bind bind = Bind::No;
  uint64_t set = 0;            ///< MOUNT_ATTR_* to set
  uint64_t clear = 0;          ///< and to clear
  uint64_t recursive_set = 0;  ///< the same for all mounts below (rro, ...)
  uint64_t recursive_clear = 0;
  uint32_t propagation = 0;  ///< MS_PRIVATE, ... ; 0: not given
  bool recursive_propagation = false;
  enum class IdMap { No, Single, Recursive };
  IdMap id_map = IdMap::No;             ///< idmap, ridmap
  bool copy_up = false;                 ///< tmpcopyup
  std::vector<std::string> parameters;  ///< for the filesystem: "size=64m", "sync"
};

/// Pure. Unknown options become parameters, as the specification has it.
Result<MountOptions> parse_mount_options(const std::vector<std::string>& options);

}  // namespace berth::launch
