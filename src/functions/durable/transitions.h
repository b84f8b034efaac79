// What updates may do to operations: one table of types and actions, and the words of AWS's refusals. Pure.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "functions/durable/history.h"
#include "functions/durable/limits.h"
#include "functions/durable/records.h"

namespace berth::functions::durable {

/// Of a batch as such: at most one EXECUTION, which is the last; an id twice only as START and what follows
/// it of a step or context. InvalidArgument.
Result<void> check_batch(const std::vector<OperationUpdate>& updates);

/// How large a payload may be: an execution's is bounded by whether a client waits for it.
Result<void> check_sizes(const OperationUpdate& update, const Execution& execution,
                         const DurableLimits& limits);

struct Applied {
  Operation operation;
  HistoryEvent event;
};
/// The operation after the update, and what history says of it. `current` is null when there is none of this
/// id. Not for EXECUTION; a chained invoke's event is the caller's to complete. InvalidArgument: the update
/// does not fit what is there.
Result<Applied> apply_update(const OperationUpdate& update, const Operation* current, int64_t now_ms);

/// Checks an EXECUTION update, which ends the execution.
Result<void> check_execution_update(const OperationUpdate& update);

}  // namespace berth::functions::durable
