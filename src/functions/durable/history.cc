#include "functions/durable/history.h"

#include "base/json.h"

namespace berth::functions::durable {
namespace {

Json payload_json(const std::optional<std::string>& payload) {
  Json json = Json::object();
  if (payload) json["Payload"] = *payload;
  return json;
}

Json error_json(const std::string& error) {
  Json json = Json::object();
  if (error.empty()) return json;
  if (auto object = parse_json(error)) json["Payload"] = std::move(*object);
  return json;
}

std::string_view family_of(OperationType type) {
  constexpr std::string_view names[] = {"Execution", "Context", "Step", "Wait", "Callback", "ChainedInvoke"};
  return names[static_cast<size_t>(type)];
}

/// How history words an operation's end.
std::string_view ending_of(OperationStatus status) {
  switch (status) {
    case OperationStatus::Succeeded:
      return "Succeeded";
    case OperationStatus::Cancelled:
      return "Cancelled";
    case OperationStatus::TimedOut:
      return "TimedOut";
    case OperationStatus::Stopped:
      return "Stopped";
    default:
      return "Failed";
  }
}

HistoryEvent event_for(const Operation& operation, std::string_view what, const Json& details,
                       int64_t now_ms) {
  return {.type = std::string(family_of(operation.type)).append(what),
          .operation_id = operation.id,
          .name = operation.name,
          .parent_id = operation.parent_id,
          .sub_type = operation.sub_type,
          .details = to_json(details),
          .at_ms = now_ms};
}

int64_t whole_seconds(int64_t from_ms, int64_t to_ms) {
  return to_ms > from_ms ? (to_ms - from_ms + 500) / 1000 : 0;
}

}  // namespace

double seconds_of(int64_t ms) {
  return static_cast<double>(ms) / 1000.0;
}

HistoryEvent started_event(const Operation& operation, const OperationUpdate& update, int64_t now_ms,
                           std::string_view version, std::string_view child) {
  Json details = Json::object();
  switch (operation.type) {
    case OperationType::Wait:
      details["Duration"] = update.wait_seconds.value_or(0);
      details["ScheduledEndTimestamp"] = seconds_of(operation.due_ms);
      break;
    case OperationType::Callback:
      details["CallbackId"] = operation.callback_id;
      if (update.callback_timeout_seconds > 0) details["Timeout"] = update.callback_timeout_seconds;
      if (update.heartbeat_timeout_seconds > 0)
        details["HeartbeatTimeout"] = update.heartbeat_timeout_seconds;
      break;
    case OperationType::ChainedInvoke:
      details["FunctionName"] = operation.chained_function;
      details["Input"] = payload_json(update.payload);
      if (!version.empty()) details["ExecutedVersion"] = version;
      if (!child.empty()) details["DurableExecutionArn"] = child;
      break;
    default:
      break;
  }
  return event_for(operation, "Started", details, now_ms);
}

HistoryEvent ended_event(const Operation& operation, OperationStatus status, int64_t now_ms,
                         std::optional<uint32_t> next_delay_seconds) {
  Json details = Json::object();
  bool succeeded = status == OperationStatus::Succeeded;
  if (operation.type == OperationType::Wait) {
    if (succeeded) details["Duration"] = whole_seconds(operation.started_ms, now_ms);
    return event_for(operation, ending_of(status), details, now_ms);
  }
  if (succeeded) {
    details["Result"] = payload_json(operation.result);
  } else {
    details["Error"] = error_json(operation.error);
  }
  if (operation.type == OperationType::Step) {
    details["RetryDetails"] = {{"CurrentAttempt", operation.attempt}};
    if (next_delay_seconds) details["RetryDetails"]["NextAttemptDelaySeconds"] = *next_delay_seconds;
  }
  return event_for(operation, ending_of(status), details, now_ms);
}

HistoryEvent execution_started_event(const Execution& execution, std::string_view input) {
  Json details{{"Input", payload_json(std::string(input))}, {"ExecutionTimeout", execution.timeout_seconds}};
  return {.type = "ExecutionStarted",
          .operation_id = execution.invocation,
          .name = execution.name,
          .details = to_json(details),
          .at_ms = execution.started_ms};
}

HistoryEvent execution_ended_event(const Execution& execution, const std::optional<std::string>& result) {
  Json details = Json::object();
  std::string type = "Execution";
  if (execution.status == ExecutionStatus::Succeeded) {
    type += "Succeeded";
    details["Result"] = payload_json(result);
  } else {
    type += execution.status == ExecutionStatus::TimedOut  ? "TimedOut"
            : execution.status == ExecutionStatus::Stopped ? "Stopped"
                                                           : "Failed";
    details["Error"] = error_json(execution.error);
  }
  return {.type = std::move(type),
          .operation_id = execution.invocation,
          .name = execution.name,
          .details = to_json(details),
          .at_ms = execution.ended_ms};
}

HistoryEvent invocation_event(std::string_view request_id, int64_t started_ms, int64_t ended_ms,
                              const std::string& error) {
  Json details{{"StartTimestamp", seconds_of(started_ms)},
               {"EndTimestamp", seconds_of(ended_ms)},
               {"RequestId", request_id}};
  if (!error.empty()) details["Error"] = error_json(error);
  return {.type = "InvocationCompleted", .details = to_json(details), .at_ms = ended_ms};
}

HistoryEvent paused_event(const Execution& execution, int64_t now_ms) {
  Json details{{"PauseRequestTimestamp", seconds_of(execution.pause_ms)},
               {"ExecutionTimeoutPaused", execution.pause_stops_timeout}};
  if (!execution.pause_reason.empty()) details["Reason"] = {{"Payload", execution.pause_reason}};
  return {.type = "ExecutionPaused",
          .operation_id = execution.invocation,
          .name = execution.name,
          .details = to_json(details),
          .at_ms = now_ms};
}

HistoryEvent resumed_event(const Execution& execution, std::string_view reason, int64_t now_ms) {
  Json details{{"ResumeRequestTimestamp", seconds_of(now_ms)}};
  if (!reason.empty()) details["Reason"] = {{"Payload", reason}};
  return {.type = "ExecutionResumed",
          .operation_id = execution.invocation,
          .name = execution.name,
          .details = to_json(details),
          .at_ms = now_ms};
}

uint64_t size_of(const HistoryEvent& event) {
  return event.details.size() + event.type.size() + event.name.size() + event.operation_id.size() +
         event.parent_id.size() + 64;
}

}  // namespace berth::functions::durable
