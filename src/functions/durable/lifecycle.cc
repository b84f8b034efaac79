// From the start of an execution to its end.
#include <algorithm>

#include "base/format.h"
#include "base/id.h"
#include "base/json.h"
#include "functions/durable/history.h"
#include "functions/durable/transitions.h"
#include "functions/durable/work.h"
#include "functions/uuid.h"

namespace berth::functions::durable {
namespace {

/// Of an event's operations: the rest is fetched by the handler, page by page.
constexpr uint64_t kEventBytes = 4 << 20;
constexpr uint32_t kEventOperations = 1000;
/// An invocation that failed is made again after 1, 2, 4 and 8 seconds.
constexpr uint32_t kMostFailures = 5;
/// A handler that waits for nothing may have lost a race; it is asked again, but not for ever.
constexpr uint32_t kMostIdleAnswers = 3;
constexpr int64_t kTurnedAwayMs = 1000;
constexpr uint32_t kBatch = 200;

}  // namespace

Result<Started> Work::start(const NewExecution& asked, bool begin) {
  if (!asked.name.empty()) {
    TRY(auto there, named_execution(database_, asked.realm, asked.function, asked.name));
    if (there) {
      TRY(std::string input, read_input(database_, there->id));
      return Started{.how = input == asked.input ? Started::How::Existing : Started::How::Differs,
                     .id = there->id,
                     .arn = arn_of(*there)};
    }
  }
  Execution execution{.realm = asked.realm,
                      .function = asked.function,
                      .version = asked.version,
                      .qualifier = asked.qualifier,
                      .name = asked.name.empty() ? random_uuid() : asked.name,
                      .invocation = random_uuid(),
                      .source = asked.source,
                      .started_ms = now_ms_,
                      .timeout_ms = now_ms_ + int64_t{asked.config.timeout_seconds} * 1000,
                      .timeout_seconds = asked.config.timeout_seconds,
                      .retention_days = asked.config.retention_days,
                      .kms_key = asked.config.kms_key,
                      .trace = asked.trace,
                      .dead_letter_arn = asked.dead_letter_arn,
                      .invoke_due_ms = now_ms_,
                      .parent = asked.parent,
                      .parent_operation = asked.parent_operation};
  ++effects.executions;
  keep(execution, asked.input.size());
  TRY(execution.id, insert_execution(database_, execution, asked.input));
  CHECK(record(execution, execution_started_event(execution, asked.input)));
  CHECK(update_execution(database_, execution));
  if (begin) CHECK(this->begin(execution.id));
  return Started{.id = execution.id, .arn = arn_of(execution)};
}

Result<void> Work::begin(int64_t id) {
  TRY(auto found, read_execution(database_, id));
  if (!found || found->status != ExecutionStatus::Running || !found->invoking.empty() ||
      found->invoke_due_ms == 0 || found->invoke_due_ms > now_ms_) {
    return {};
  }
  Execution& execution = *found;
  int64_t seen_before = execution.seen;
  execution.invoking = random_hex(16);
  ++execution.token;
  execution.invoked_ms = now_ms_;
  execution.invoke_due_ms = 0;
  execution.seen = execution.sequence;
  TRY(std::string event, event_of(execution, seen_before));
  CHECK(update_execution(database_, execution));
  effects.begun.push_back({std::move(execution), std::move(event)});
  return {};
}

Result<std::string> Work::event_of(const Execution& execution, int64_t seen_before) {
  TRY(std::string input, read_input(database_, execution.id));
  TRY(OperationPage page, operations_page(database_, execution.id, 0, kEventOperations,
                                          kEventBytes - std::min<uint64_t>(kEventBytes, input.size())));
  Json operations = Json::array();
  operations.push_back(execution_json(execution, input, Times::Milliseconds));
  for (const Operation& operation : page.operations)
    operations.push_back(operation_json(operation, Times::Milliseconds));
  Json updated = Json::array();
  if (seen_before < execution.sequence) {
    TRY(auto changed, changed_operations(database_, execution.id, seen_before));
    for (const Operation& operation : changed) updated.push_back(operation.id);
  }
  Json event{{"DurableExecutionArn", arn_of(execution)},
             {"CheckpointToken", token_of(execution)},
             {"InitialExecutionState",
              {{"Operations", std::move(operations)},
               {"NextMarker", page.beyond == 0 ? std::string() : std::to_string(page.beyond)}}},
             {"UpdatedOperationIds", std::move(updated)}};
  return to_json(event);
}

Result<void> Work::finish(int64_t id, const std::string& secret, const Finished& how) {
  TRY(auto found, read_execution(database_, id));
  if (!found || found->invoking != secret) return {};
  Execution& execution = *found;
  execution.invoking.clear();
  if (how.how == Finished::How::Answered || how.how == Finished::How::FunctionError)
    CHECK(record(execution, invocation_event(how.request_id, how.started_ms, now_ms_, how.error)));
  if (is_terminal(execution.status)) return update_execution(database_, execution);
  if (execution.status == ExecutionStatus::Pausing) {
    execution.status = ExecutionStatus::Paused;
    CHECK(record(execution, paused_event(execution, now_ms_)));
  }
  switch (how.how) {
    case Finished::How::Answered:
      CHECK(take_output(execution, how));
      break;
    case Finished::How::FunctionError:
      CHECK(try_again(execution, how.error, kMostFailures));
      break;
    case Finished::How::TurnedAway:
      wake(execution, now_ms_ + kTurnedAwayMs);
      break;
    case Finished::How::Gone:
      CHECK(end(execution, ExecutionStatus::Failed, std::nullopt, how.error));
      break;
  }
  return update_execution(database_, execution);
}

Result<void> Work::take_output(Execution& execution, const Finished& how) {
  auto output = parse_output(how.output);
  auto fail = [&](std::string_view words) {
    return end(execution, ExecutionStatus::Failed, std::nullopt,
               error_object(words, "InvalidParameterValueException"));
  };
  if (!output) return fail(output.error().message());
  if (output->status == HandlerOutput::Status::Failed)
    return end(execution, ExecutionStatus::Failed, std::nullopt, output->error);
  if (output->status == HandlerOutput::Status::Succeeded) {
    OperationUpdate closing{.id = "x",
                            .type = OperationType::Execution,
                            .action = OperationAction::Succeed,
                            .payload = output->result};
    if (auto fits = check_sizes(closing, execution, limits_); !fits) return fail(fits.error().message());
    return end(execution, ExecutionStatus::Succeeded, output->result, {});
  }
  TRY(bool changed, any_changed(database_, execution.id, execution.seen));
  bool owed = execution.owed;
  TRY(bool pending, any_pending(database_, execution.id));
  if (!changed && !owed && !pending) {
    return try_again(execution,
                     error_object("Cannot return PENDING status with no pending operations.",
                                  "InvalidParameterValueException"),
                     kMostIdleAnswers);
  }
  execution.failures = 0;
  if (changed || owed) wake(execution, now_ms_);
  if (execution.status == ExecutionStatus::Running) execution.owed = false;
  return {};
}

Result<void> Work::try_again(Execution& execution, const std::string& error, uint32_t most) {
  ++execution.failures;
  if (execution.failures >= most) return end(execution, ExecutionStatus::Failed, std::nullopt, error);
  wake(execution, now_ms_ + (int64_t{1000} << (execution.failures - 1)));
  return {};
}

/// The handler has something to learn: it is called, unless it is at work (it will be told then) or paused.
void Work::wake(Execution& execution, int64_t at_ms) {
  if (execution.status == ExecutionStatus::Paused) execution.owed = true;
  if (execution.status != ExecutionStatus::Running || !execution.invoking.empty()) return;
  if (execution.invoke_due_ms == 0 || at_ms < execution.invoke_due_ms) execution.invoke_due_ms = at_ms;
}

void Work::keep(Execution& execution, uint64_t bytes) {
  execution.bytes += bytes;
  effects.bytes += static_cast<int64_t>(bytes);
}

Result<void> Work::forget(const Execution& execution) {
  --effects.executions;
  effects.bytes -= static_cast<int64_t>(execution.bytes);
  return remove_execution(database_, execution.id);
}

Result<void> Work::record(Execution& execution, HistoryEvent event) {
  keep(execution, size_of(event));
  return append_event(database_, execution, std::move(event));
}

Result<void> Work::put(Execution& execution, Operation& operation) {
  if (operation.row == 0) ++execution.operations;
  keep(execution, operation.result.value_or("").size() + operation.error.size() + 200);
  operation.touched = ++execution.sequence;
  return write_operation(database_, execution.id, operation);
}

Result<void> Work::end(Execution& execution, ExecutionStatus status, const std::optional<std::string>& result,
                       std::string error) {
  execution.status = status;
  execution.ended_ms = now_ms_;
  execution.invoke_due_ms = 0;
  execution.owed = false;
  execution.error = std::move(error);
  bool was_event =
      execution.source == InvocationSource::Async || execution.source == InvocationSource::Schedule;
  execution.letter_owed = was_event && execution.parent == 0 && status != ExecutionStatus::Succeeded &&
                          !execution.dead_letter_arn.empty();
  CHECK(write_result(database_, execution.id, result));
  CHECK(record(execution, execution_ended_event(execution, result)));
  CHECK(silence_operations(database_, execution.id));
  effects.ended.push_back(execution.id);
  return tell_parent(execution, result);
}

Result<void> Work::tell_parent(const Execution& child, const std::optional<std::string>& result) {
  if (child.parent == 0) return {};
  TRY(auto parent, read_execution(database_, child.parent));
  if (!parent || is_terminal(parent->status)) return {};
  TRY(auto operation, read_operation(database_, child.parent, child.parent_operation));
  if (!operation || operation->status != OperationStatus::Started) return {};
  OperationOutcome outcome{.result = result, .error = child.error};
  switch (child.status) {
    case ExecutionStatus::Succeeded:
      break;
    case ExecutionStatus::TimedOut:
      outcome.status = OperationStatus::TimedOut;
      outcome.error =
          error_object(fmt::format("CHAINED_INVOKE timed out after {} seconds.", child.timeout_seconds),
                       "ChainedInvoke.Timeout");
      break;
    case ExecutionStatus::Stopped:
      outcome.status = OperationStatus::Stopped;
      break;
    default:
      outcome.status = OperationStatus::Failed;
      break;
  }
  CHECK(complete(*parent, *operation, outcome));
  return update_execution(database_, *parent);
}

Result<void> Work::complete(Execution& execution, Operation& operation, const OperationOutcome& outcome) {
  operation.status = outcome.status;
  operation.ended_ms = now_ms_;
  operation.due_ms = 0;
  operation.result = outcome.result;
  operation.error = outcome.error;
  CHECK(put(execution, operation));
  CHECK(record(execution, ended_event(operation, outcome.status, now_ms_)));
  wake(execution, now_ms_);
  return {};
}

Result<void> Work::chained_ended(int64_t row, const OperationOutcome& outcome) {
  TRY(auto operation, operation_of_row(database_, row));
  if (!operation || operation->status != OperationStatus::Started) return {};
  TRY(auto execution, execution_of_row(database_, row));
  if (!execution || is_terminal(execution->status)) return {};
  CHECK(complete(*execution, *operation, outcome));
  return update_execution(database_, *execution);
}

Result<void> Work::ring(Execution& execution, Operation& operation) {
  if (operation.type == OperationType::Wait) return complete(execution, operation, {});
  if (operation.type == OperationType::Step) {
    operation.status = OperationStatus::Ready;
    operation.due_ms = 0;
    CHECK(put(execution, operation));
    wake(execution, now_ms_);
    return {};
  }
  bool whole = operation.timeout_ms > 0 && operation.timeout_ms <= now_ms_;
  return complete(execution, operation,
                  {.status = OperationStatus::TimedOut,
                   .error = whole ? error_object("Callback timed out", "Callback.Timeout")
                                  : error_object("Callback timed out on heartbeat", "Callback.Heartbeat")});
}

Result<Due> Work::due(uint32_t room) {
  Due found;
  TRY(auto late, executions_timed_out(database_, now_ms_, kBatch));
  for (int64_t id : late) {
    TRY(auto execution, read_execution(database_, id));
    if (!execution) continue;
    std::string words = fmt::format("Execution timed out after {} seconds.", execution->timeout_seconds);
    CHECK(end(*execution, ExecutionStatus::TimedOut, std::nullopt, error_object(words)));
    CHECK(update_execution(database_, *execution));
  }
  TRY(auto rung, due_operations(database_, now_ms_, kBatch));
  for (CallbackPlace& place : rung) {
    TRY(auto execution, read_execution(database_, place.execution));
    if (!execution || is_terminal(execution->status)) {
      place.operation.due_ms = 0;
      CHECK(write_operation(database_, place.execution, place.operation));
      continue;
    }
    CHECK(ring(*execution, place.operation));
    CHECK(update_execution(database_, *execution));
  }
  TRY(auto old, executions_expired(database_, now_ms_, kBatch));
  for (int64_t id : old) {
    TRY(auto execution, read_execution(database_, id));
    if (execution) CHECK(forget(*execution));
  }
  TRY(auto called, executions_to_invoke(database_, now_ms_, room));
  for (int64_t id : called) CHECK(begin(id));
  found.more = late.size() == kBatch || rung.size() == kBatch || old.size() == kBatch;
  TRY(found.next_ms, next_moment(database_, now_ms_));
  return found;
}

Result<void> Work::function_removed(const Realm& realm, const std::string& function) {
  TRY(auto running, running_executions(database_, realm, function));
  std::string error =
      error_object("Function not found: " + function_arn(realm, function), "ResourceNotFoundException");
  for (int64_t id : running) {
    TRY(auto execution, read_execution(database_, id));
    if (!execution) continue;
    CHECK(end(*execution, ExecutionStatus::Failed, std::nullopt, error));
    CHECK(update_execution(database_, *execution));
  }
  return orphan_executions(database_, realm, function);
}

}  // namespace berth::functions::durable
