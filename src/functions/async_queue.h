// AsyncQueue: takes events whose caller does not wait (invocation type Event, function URLs never, schedules
// and notifications yes). Its implementation (events/) keeps them on disk until they have ended in a success,
// a destination, a dead letter, or their age.
#pragma once

#include <string>

#include "base/result.h"
#include "functions/metering.h"
#include "functions/model.h"
#include "io/task.h"

namespace berth::functions {

struct AsyncEvent {
  Realm realm;
  std::string function;             ///< name
  std::string qualifier = {};       ///< version or alias as the caller gave it; empty: $LATEST
  std::string request_id;           ///< a UUID, which the caller has been or will be told
  std::string payload;              ///< JSON
  std::string client_context = {};  ///< decoded JSON; empty: none
  std::string trace_header = {};
  std::string tenant = {};
  InvocationSource source = InvocationSource::Async;
};

class AsyncQueue {
 public:
  virtual ~AsyncQueue() = default;
  /// Returns when the event is on the disk: from then on it is never lost. Exhausted: the queue is full (the
  /// client is told to slow down); a function that does not exist is the caller's to refuse.
  virtual io::Task<Result<void>> enqueue(AsyncEvent event) = 0;
};

}  // namespace berth::functions
