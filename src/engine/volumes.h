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
#include "storage/byte_stream.h"

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

  // What docker does not have (volume_verbs.cc).
  /// Containers that use it, running or not, know it by its new name from then on. AlreadyExists.
  io::Task<Result<VolumeRecord>> rename(std::string name, std::string new_name);
  /// A new volume with a copy of the data (reflinked where the filesystem can). AlreadyExists.
  io::Task<Result<VolumeRecord>> clone(std::string name, std::string new_name);
  /// Its content as a tar, entries beginning with "./". `out` is written on a worker and must live until this
  /// returns.
  io::Task<Result<void>> export_content(std::string name, storage::ByteSink& out);
  /// Unpacks a tar, plain or compressed, into a volume that is there or is made. What is there already is
  /// merged.
  io::Task<Result<VolumeRecord>> import_content(std::string name, storage::ByteSource& archive);

 private:
  Core& core_;
};

}  // namespace berth::engine
