// Volumes: named directories that outlive containers (driver "local"), plain or with mount options.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/containers.h"
#include "engine/records.h"
#include "io/task.h"

namespace berth::engine {

class Core;

struct CreateVolume {
  std::string name = {};  ///< empty: 64 hex digits, and the label of anonymous volumes
  std::string driver = {};
  spec::StringMap driver_options = {};
  spec::StringMap labels = {};
};

struct VolumeUsage {
  uint64_t bytes = 0;
  int references = 0;  ///< containers that mount it
};

struct PruneVolumesReport {
  std::vector<std::string> names;
  uint64_t reclaimed_bytes = 0;
};

class Volumes {
 public:
  explicit Volumes(Core& core) : core_(core) {}

  /// The existing one when name, driver and options agree. WrongState when they do not.
  io::Task<Result<VolumeRecord>> create(CreateVolume request);
  /// NotFound: "get x: no such volume".
  Result<VolumeRecord> find(std::string_view name) const;
  /// By name. Filters: dangling, driver, label, name.
  Result<std::vector<VolumeRecord>> list(const Filters& filters) const;
  /// WrongState "remove x: volume is in use - [ids]".
  io::Task<Result<void>> remove(std::string name, Force force);
  /// Unused ones: anonymous only, unless filter all=true. Other filters: label, label!.
  io::Task<Result<PruneVolumesReport>> prune(Filters filters);
  io::Task<Result<VolumeUsage>> usage(std::string name);

 private:
  Core& core_;
};

}  // namespace berth::engine
