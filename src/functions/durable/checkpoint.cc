// What the handler of an execution may ask for: checkpoints, and the state that it replays.
#include <algorithm>

#include "base/format.h"
#include "base/id.h"
#include "functions/durable/transitions.h"
#include "functions/durable/work.h"

namespace berth::functions::durable {
namespace {

constexpr uint32_t kMostTimers = 1000;
constexpr uint64_t kPageBytes = 5 << 20;

Error bad_token() {
  return failure(Kind::InvalidArgument, "Invalid checkpoint token");
}

}  // namespace

/// The execution whose handler, at work now, holds this token.
Result<Execution> Work::handlers(const ExecutionArn& arn, const std::string& token) {
  TRY(auto found, find_execution(database_, arn));
  if (!found) return failure(Kind::InvalidArgument, "Durable Execution does not exist");
  bool open = found->status == ExecutionStatus::Running || found->status == ExecutionStatus::Pausing;
  if (!open || found->invoking.empty() || token != token_of(*found)) return bad_token();
  return std::move(*found);
}

Result<Checkpointed> Work::checkpoint(const CheckpointRequest& request) {
  if (!request.client_token.empty()) {
    TRY(auto found, find_execution(database_, request.arn));
    if (found && found->last_client == request.client_token && found->last_token == request.token &&
        !found->invoking.empty()) {
      Checkpointed again{.token = token_of(*found), .changed = {}};
      TRY(again.changed, changed_operations(database_, found->id, found->last_seen));
      found->seen = found->sequence;
      CHECK(update_execution(database_, *found));
      return again;
    }
  }
  TRY(Execution execution, handlers(request.arn, request.token));
  CHECK(check_batch(request.updates));
  for (const OperationUpdate& update : request.updates) {
    CHECK(check_sizes(update, execution, limits_));
    CHECK(take_update(execution, request, update));
  }
  if (execution.operations > limits_.operations) {
    return failure(Kind::InvalidArgument,
                   "The execution would have more than {} operations: continue in another execution",
                   limits_.operations);
  }
  if (execution.bytes > limits_.execution_bytes) {
    return failure(
        Kind::InvalidArgument,
        "The execution would keep more than {} bytes: keep large data elsewhere and references here",
        limits_.execution_bytes);
  }
  if (!is_terminal(execution.status)) {
    TRY(auto rung, due_operations(database_, now_ms_, kMostTimers, execution.id));
    for (CallbackPlace& place : rung) CHECK(ring(execution, place.operation));
  }
  ++execution.token;
  Checkpointed done;
  if (execution.status == ExecutionStatus::Pausing) {
    execution.status = ExecutionStatus::Paused;
    execution.owed = true;
    CHECK(record(execution, paused_event(execution, now_ms_)));
    CHECK(update_execution(database_, execution));
    return done;
  }
  execution.last_client = request.client_token;
  execution.last_token = request.token;
  execution.last_seen = execution.seen;
  TRY(done.changed, changed_operations(database_, execution.id, execution.seen));
  execution.seen = execution.sequence;
  done.token = token_of(execution);
  CHECK(update_execution(database_, execution));
  return done;
}

Result<void> Work::check_parent(const Execution& execution, const OperationUpdate& update) {
  if (update.parent_id.empty()) return {};
  TRY(auto parent, read_operation(database_, execution.id, update.parent_id));
  if (parent && parent->type == OperationType::Context) return {};
  return failure(Kind::InvalidArgument, "Invalid parent operation id.");
}

Result<void> Work::take_update(Execution& execution, const CheckpointRequest& request,
                               const OperationUpdate& update) {
  if (update.type == OperationType::Execution) {
    CHECK(check_execution_update(update));
    bool succeeded = update.action == OperationAction::Succeed;
    return end(execution, succeeded ? ExecutionStatus::Succeeded : ExecutionStatus::Failed, update.payload,
               update.error);
  }
  CHECK(check_parent(execution, update));
  TRY(auto current, read_operation(database_, execution.id, update.id));
  if (update.type == OperationType::ChainedInvoke && !current) {
    auto target = request.targets.find(update.id);
    if (target != request.targets.end()) return take_chained(execution, target->second, update);
  }
  TRY(Applied applied, apply_update(update, current ? &*current : nullptr, now_ms_));
  CHECK(put(execution, applied.operation));
  CHECK(record(execution, std::move(applied.event)));
  bool closed = update.type == OperationType::Context && is_terminal(applied.operation.status);
  if (!closed || update.replay_children) return {};
  return hide_children(database_, execution.id, update.id);
}

Result<void> Work::take_chained(Execution& execution, const ChainedTarget& target,
                                const OperationUpdate& update) {
  TRY(Applied applied, apply_update(update, nullptr, now_ms_));
  Operation& operation = applied.operation;
  if (!target.error.empty()) {
    OperationUpdate without = update;
    without.payload.reset();
    operation.status = OperationStatus::Failed;
    operation.ended_ms = now_ms_;
    operation.result.reset();
    operation.error = target.error;
    CHECK(put(execution, operation));
    CHECK(record(execution, started_event(operation, without, now_ms_)));
    return record(execution, ended_event(operation, operation.status, now_ms_));
  }
  CHECK(put(execution, operation));
  if (!target.child) {
    effects.chained.push_back(operation.row);
    return record(execution, started_event(operation, update, now_ms_, target.version));
  }
  NewExecution child = *target.child;
  child.input = *operation.result;
  child.parent = execution.id;
  child.parent_operation = operation.id;
  TRY(Started started, start(child, false));
  return record(execution, started_event(operation, update, now_ms_, target.version, started.arn));
}

Result<StatePage> Work::state(const ExecutionArn& arn, const std::string& token, int64_t beyond,
                              uint32_t limit) {
  TRY(Execution execution, handlers(arn, token));
  StatePage state;
  if (beyond == 0) {
    TRY(state.input, read_input(database_, execution.id));
    state.execution = execution;
    if (limit > 1) --limit;
  }
  TRY(state.page, operations_page(database_, execution.id, beyond, limit,
                                  kPageBytes - std::min<uint64_t>(kPageBytes, state.input.size())));
  return state;
}

}  // namespace berth::functions::durable
