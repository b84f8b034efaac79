// What a durable execution consists of: the execution itself, its operations, the updates that handlers send,
// the events of its history. Plain values; names and units are those of AWS Lambda's durable functions
// (lambda 2015-03-31 as of 2026). An error is kept as the JSON text of its ErrorObject.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "functions/metering.h"
#include "functions/model.h"

namespace berth::functions::durable {

enum class OperationType { Execution, Context, Step, Wait, Callback, ChainedInvoke };
enum class OperationAction { Start, Succeed, Fail, Retry, Cancel };
enum class OperationStatus { Started, Pending, Ready, Succeeded, Failed, Cancelled, TimedOut, Stopped };
enum class ExecutionStatus { Running, Pausing, Paused, Succeeded, Failed, TimedOut, Stopped };

/// As the API spells them: "CHAINED_INVOKE", "TIMED_OUT" ...
std::string_view name_of(OperationType type);
std::string_view name_of(OperationAction action);
std::string_view name_of(OperationStatus status);
std::string_view name_of(ExecutionStatus status);
std::optional<OperationType> parse_operation_type(std::string_view text);
std::optional<OperationAction> parse_operation_action(std::string_view text);
std::optional<ExecutionStatus> parse_execution_status(std::string_view text);

bool is_terminal(OperationStatus status);
inline bool is_terminal(ExecutionStatus status) {
  return status >= ExecutionStatus::Succeeded;
}

/// One change of an operation, as CheckpointDurableExecution brings it. Bounds of its members have been
/// checked.
struct OperationUpdate {
  std::string id;
  std::string parent_id = {};  ///< empty: none
  std::string name = {};
  std::string sub_type = {};
  OperationType type = OperationType::Step;
  OperationAction action = OperationAction::Start;
  std::optional<std::string> payload = {};
  std::string error = {};  ///< JSON of the ErrorObject; empty: none
  bool replay_children = false;
  std::optional<uint32_t> retry_delay_seconds = {};
  std::optional<uint32_t> wait_seconds = {};
  uint32_t callback_timeout_seconds = 0;  ///< 0: none
  uint32_t heartbeat_timeout_seconds = 0;
  std::string chained_function = {};  ///< as the handler named it; empty: no options were given
};

/// An operation as it stands.
struct Operation {
  int64_t row = 0;  ///< 0: not stored yet; rows are in the order of their start
  std::string id, parent_id, name, sub_type;
  OperationType type = OperationType::Step;
  OperationStatus status = OperationStatus::Started;
  int64_t started_ms = 0;
  int64_t ended_ms = 0;                    ///< 0: it goes on
  int64_t touched = 0;                     ///< sequence number of its last change
  int64_t due_ms = 0;                      ///< when a timer ends it or makes it ready; 0: none does
  uint32_t attempt = 0;                    ///< of a step
  bool replay_children = false;            ///< of a context
  std::optional<std::string> result = {};  ///< of a chained invoke that runs: its input
  std::string error = {};
  std::string callback_id = {};
  int64_t timeout_ms = 0;          ///< of a callback: when it times out at the latest; 0: never
  uint32_t heartbeat_seconds = 0;  ///< 0: none is waited for
  std::string chained_function = {};
};

struct Execution {
  int64_t id = 0;
  Realm realm;
  std::string function, version;
  std::string qualifier;   ///< as the caller named the function; empty: not at all
  std::string name;        ///< unique among the function's
  std::string invocation;  ///< a UUID: the last part of the ARN, and the id of the EXECUTION operation
  ExecutionStatus status = ExecutionStatus::Running;
  InvocationSource source = InvocationSource::Sync;
  int64_t started_ms = 0, ended_ms = 0;
  int64_t timeout_ms = 0;  ///< when it times out
  uint32_t timeout_seconds = 0, retention_days = 0;
  std::string kms_key, trace, dead_letter_arn;
  std::string error;  ///< of one that did not succeed

  int64_t sequence = 0;                 ///< counts changes of operations
  int64_t seen = 0;                     ///< up to which the handler has been told
  int64_t token = 0;                    ///< counts checkpoints
  int64_t last_event = 0;               ///< id of the history's newest event
  std::string invoking;                 ///< secret of the invocation under way; empty: there is none
  int64_t invoked_ms = 0;               ///< when that began
  int64_t invoke_due_ms = 0;            ///< when the handler is to be called; 0: when something has happened
  uint32_t failures = 0;                ///< invocations in a row that failed
  std::string last_client, last_token;  ///< the last checkpoint's, for its repetition
  int64_t last_seen = 0;                ///< and up to where the handler had been told before it

  int64_t pause_ms = 0;  ///< when the pause was asked for
  std::string pause_reason;
  bool pause_stops_timeout = true;
  int64_t held_timeout_ms = 0;  ///< when it would have timed out, had it not been paused
  bool owed = false;            ///< an invocation is owed when it resumes
  std::string pause_token, resume_token;
  int64_t pause_token_ms = 0, resume_token_ms = 0;

  int64_t parent = 0;  ///< execution whose operation `parent_operation` this one is; 0: none
  std::string parent_operation;
  uint64_t bytes = 0, operations = 0;
  bool letter_owed = false;  ///< its event still has to get into the dead-letter queue
  bool orphaned = false;     ///< the function is gone
};

/// One entry of the history. `details` is the JSON text of the member that belongs to its type, whole.
struct HistoryEvent {
  std::string type;  ///< "StepSucceeded"
  std::string operation_id, name, parent_id, sub_type;
  std::string details;
  int64_t id = 0, at_ms = 0;
};

}  // namespace berth::functions::durable
