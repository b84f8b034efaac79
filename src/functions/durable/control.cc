// What others ask of an execution: callbacks, stop, pause, resume, removal.
#include <algorithm>

#include "base/format.h"
#include "functions/durable/history.h"
#include "functions/durable/work.h"

namespace berth::functions::durable {
namespace {

constexpr int64_t kTokenLifeMs = 15 * 60 * 1000;
constexpr int64_t kLongestLifeMs = int64_t{longest_execution_seconds} * 1000;

}  // namespace

Result<Execution> Work::existing(const ExecutionArn& arn) {
  TRY(auto found, find_execution(database_, arn));
  if (!found) return failure(Kind::NotFound, "Durable Execution does not exist");
  return std::move(*found);
}

/// The operation of a callback that can still be answered, and its execution.
Result<CallbackPlace> Work::open_callback(const std::string& callback_id, Execution& execution) {
  TRY(auto place, find_callback(database_, callback_id));
  if (!place) return failure(Kind::NotFound, "Callback does not exist");
  TRY(auto found, read_execution(database_, place->execution));
  if (!found || is_terminal(found->status) || place->operation.status != OperationStatus::Started)
    return failure(Kind::DeadlineExceeded, "The callback has timed out or has been closed already");
  execution = std::move(*found);
  return std::move(*place);
}

Result<void> Work::complete_callback(const std::string& callback_id, const OperationOutcome& outcome) {
  Execution execution;
  TRY(CallbackPlace place, open_callback(callback_id, execution));
  CHECK(complete(execution, place.operation, outcome));
  return update_execution(database_, execution);
}

Result<void> Work::heartbeat(const std::string& callback_id) {
  Execution execution;
  TRY(CallbackPlace place, open_callback(callback_id, execution));
  Operation& operation = place.operation;
  if (operation.heartbeat_seconds == 0) return {};
  operation.due_ms = now_ms_ + int64_t{operation.heartbeat_seconds} * 1000;
  if (operation.timeout_ms > 0) operation.due_ms = std::min(operation.due_ms, operation.timeout_ms);
  return write_operation(database_, place.execution, operation);
}

Result<int64_t> Work::stop(const ExecutionArn& arn, const std::string& error) {
  TRY(Execution execution, existing(arn));
  if (is_terminal(execution.status)) return execution.ended_ms;
  CHECK(end(execution, ExecutionStatus::Stopped, std::nullopt,
            error.empty() ? error_object("Execution stopped by user request") : error));
  CHECK(update_execution(database_, execution));
  return now_ms_;
}

Result<void> Work::pause(const PauseRequest& request) {
  TRY(Execution execution, existing(request.arn));
  bool again = !request.client_token.empty() && request.client_token == execution.pause_token &&
               now_ms_ - execution.pause_token_ms < kTokenLifeMs;
  if (again) return {};
  if (execution.status != ExecutionStatus::Running) {
    return failure(Kind::WrongState, "The execution cannot be paused: it is {}", name_of(execution.status));
  }
  execution.pause_ms = now_ms_;
  execution.pause_reason = request.reason;
  execution.pause_stops_timeout = request.stops_timeout;
  execution.pause_token = request.client_token;
  execution.pause_token_ms = now_ms_;
  execution.held_timeout_ms = execution.timeout_ms;
  if (request.stops_timeout) execution.timeout_ms = execution.started_ms + kLongestLifeMs;
  execution.owed = execution.invoke_due_ms > 0;
  execution.invoke_due_ms = 0;
  execution.status = execution.invoking.empty() ? ExecutionStatus::Paused : ExecutionStatus::Pausing;
  if (execution.status == ExecutionStatus::Paused) CHECK(record(execution, paused_event(execution, now_ms_)));
  return update_execution(database_, execution);
}

Result<void> Work::resume(const ExecutionArn& arn, const std::string& client_token,
                          const std::string& reason) {
  TRY(Execution execution, existing(arn));
  bool again = !client_token.empty() && client_token == execution.resume_token &&
               now_ms_ - execution.resume_token_ms < kTokenLifeMs;
  if (again) return {};
  bool paused = execution.status == ExecutionStatus::Paused;
  if (!paused && execution.status != ExecutionStatus::Pausing) {
    return failure(Kind::WrongState, "The execution cannot be resumed: it is {}", name_of(execution.status));
  }
  execution.status = ExecutionStatus::Running;
  execution.resume_token = client_token;
  execution.resume_token_ms = now_ms_;
  if (execution.pause_stops_timeout) {
    execution.timeout_ms = std::min(execution.held_timeout_ms + (now_ms_ - execution.pause_ms),
                                    execution.started_ms + kLongestLifeMs);
  }
  if (paused) CHECK(record(execution, resumed_event(execution, reason, now_ms_)));
  TRY(bool changed, any_changed(database_, execution.id, execution.seen));
  // A handler that was told to stop and has not ended yet: its end will find that it is owed a call.
  if (execution.invoking.empty()) {
    if (execution.owed || changed) wake(execution, now_ms_);
    execution.owed = false;
  }
  return update_execution(database_, execution);
}

Result<void> Work::remove(const ExecutionArn& arn) {
  TRY(Execution execution, existing(arn));
  if (!is_terminal(execution.status)) {
    return failure(Kind::WrongState, "The execution cannot be deleted: it is {}; stop it first",
                   name_of(execution.status));
  }
  return forget(execution);
}

}  // namespace berth::functions::durable
