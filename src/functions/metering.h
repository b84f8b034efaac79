// The record that every invocation leaves, and who takes it. Measured, never estimated: durations from the
// monotonic clock, memory from the sandbox's control group.
#pragma once

#include <cstdint>
#include <string>

#include "base/clock.h"
#include "functions/model.h"

namespace berth::functions {

enum class InvocationSource { Sync, Async, EventSource, Url, Schedule };
enum class InvocationStatus { Success, Error, Timeout, Crash };
enum class InitializationType { None, OnDemand, Provisioned };  ///< None: the sandbox was warm

struct InvocationRecord {
  Realm realm;
  std::string function, version, request_id;
  Timestamp started;
  InvocationSource source = InvocationSource::Sync;
  InvocationStatus status = InvocationStatus::Success;
  InitializationType initialization = InitializationType::None;
  uint64_t duration_us = 0;        ///< from handing the event over to the end of the runtime's work
  uint64_t init_us = 0;            ///< of the initialisation that this event waited for; 0: warm
  uint64_t billed_ms = 0;          ///< ceil(duration) + ceil(init), as AWS bills since August 2025
  uint64_t cpu_us = 0;             ///< CPU time that the sandbox used for it
  uint64_t memory_peak_bytes = 0;  ///< of the sandbox so far
  uint32_t memory_mebibytes = 0;   ///< configured
  /// Where a cold start's time went, in microseconds; 0: no such part.
  struct ColdStart {
    uint64_t sandbox_us = 0;  ///< until the container runs
    uint64_t runtime_us =
        0;  ///< until the runtime asks for its first event (includes the function's own imports)
    uint64_t extensions_us = 0;
    bool pooled = false;  ///< a prepared sandbox was used
  } cold;
};

class MeteringSink {
 public:
  virtual ~MeteringSink() = default;
  /// Loop thread; must not block.
  virtual void record(const InvocationRecord& record) = 0;
};

}  // namespace berth::functions
