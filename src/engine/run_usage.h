// RunUsage: what one run of a container has used, measured by its control group before that is removed. Told
// to one observer of the process (metering); without one nothing is measured, nor of functions' sandboxes,
// whose invocations are what is metered.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/clock.h"

namespace berth::engine {

struct RunUsage {
  std::string id, name, image;
  Timestamp started, finished;
  int exit_code = 0;
  uint64_t cpu_us = 0;
  uint64_t memory_peak_bytes = 0;   ///< 0: the kernel does not tell
  uint64_t memory_limit_bytes = 0;  ///< 0: none
};

/// Called on the loop thread, some time after the run has ended. An empty function: nobody wants to know.
using RunObserver = std::function<void(const RunUsage&)>;
void set_run_observer(RunObserver observer);
const RunObserver& run_observer();

}  // namespace berth::engine
