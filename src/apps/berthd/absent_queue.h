// What stands in for the asynchronous queue and the metering store in a berthd without them: events are
// turned away with a clear word, records are dropped.
#pragma once

#include "functions/async_queue.h"
#include "functions/metering.h"

namespace berth::berthd {

class AbsentQueue final : public functions::AsyncQueue {
 public:
  io::Task<Result<void>> enqueue(functions::AsyncEvent event) override;
};

class NoMetering final : public functions::MeteringSink {
 public:
  void record(const functions::InvocationRecord&) override {}
};

}  // namespace berth::berthd
