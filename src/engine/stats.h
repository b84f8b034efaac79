// Resource use of a container: one sample, and the stream of samples behind GET /containers/{id}/stats.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "io/task.h"
#include "sys/cgroup.h"

namespace berth::engine {

struct InterfaceStats {
  uint64_t rx_bytes = 0;
  uint64_t rx_packets = 0;
  uint64_t rx_errors = 0;
  uint64_t rx_dropped = 0;
  uint64_t tx_bytes = 0;
  uint64_t tx_packets = 0;
  uint64_t tx_errors = 0;
  uint64_t tx_dropped = 0;
};

struct StatsSample {
  Timestamp read{};  ///< zero: the container does not run, everything is empty
  sys::CgroupStats cgroup;
  uint64_t system_cpu_ns = 0;  ///< all cpus of the host
  unsigned online_cpus = 0;
  uint64_t host_memory = 0;  ///< bytes; the limit of a container without one
  bool cgroup_v2 = false;
  std::map<std::string, InterfaceStats> networks;  ///< "eth0"
};

class StatsStream {
 public:
  virtual ~StatsStream() = default;
  /// A sample of now, without waiting.
  virtual io::Task<Result<StatsSample>> sample() = 0;
  /// Waits until a second has passed since the last sample, or the container has been removed (nothing). Of a
  /// container that does not run: an empty sample each second.
  virtual io::Task<Result<std::optional<StatsSample>>> next() = 0;
};

}  // namespace berth::engine
