// Usage: one sample of GET /containers/ID/stats as the numbers that `stats` shows. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "base/json_fwd.h"

namespace berth::cli::commands {

struct Usage {
  std::string id;
  std::string name;
  double cpu_percent = 0;
  double memory = 0;
  double memory_limit = 0;
  double memory_percent = 0;
  double network_received = 0;
  double network_sent = 0;
  uint64_t block_read = 0;
  uint64_t block_written = 0;
  uint64_t processes = 0;
};

/// By docker's formulas: CPU relative to one CPU, memory without the reclaimable page cache.
Usage usage_of(const Json& sample);

}  // namespace berth::cli::commands
