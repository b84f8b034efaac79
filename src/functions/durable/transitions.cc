#include "functions/durable/transitions.h"

#include <map>

#include "base/format.h"
#include "base/id.h"

namespace berth::functions::durable {
namespace {

using Action = OperationAction;
using Status = OperationStatus;
using Type = OperationType;

Error refused(std::string_view words) {
  return failure(Kind::InvalidArgument, "{}", words);
}

bool allows(Type type, Action action) {
  switch (type) {
    case Type::Execution:
      return action == Action::Succeed || action == Action::Fail;
    case Type::Context:
      return action == Action::Start || action == Action::Succeed || action == Action::Fail;
    case Type::Step:
      return action != Action::Cancel;
    case Type::Wait:
      return action == Action::Start || action == Action::Cancel;
    case Type::Callback:
    case Type::ChainedInvoke:
      return action == Action::Start;
  }
  return false;
}

/// One or the other: a result of what succeeded, an error of what failed.
Result<void> check_outcome(const OperationUpdate& update) {
  if (update.action == Action::Fail && update.payload)
    return refused("Cannot provide a Payload for FAIL action.");
  if (update.action == Action::Succeed && !update.error.empty())
    return refused("Cannot provide an Error for SUCCEED action.");
  if (update.action == Action::Retry && update.payload && !update.error.empty())
    return refused("Cannot provide both error and payload to RETRY a STEP.");
  return {};
}

/// What an operation is cannot change.
Result<void> check_identity(const OperationUpdate& update, const Operation& current) {
  if (update.type != current.type) return refused("Inconsistent operation type.");
  if (!update.sub_type.empty() && update.sub_type != current.sub_type)
    return refused("Inconsistent operation subtype.");
  if (!update.name.empty() && update.name != current.name) return refused("Inconsistent operation name.");
  if (!update.parent_id.empty() && update.parent_id != current.parent_id)
    return refused("Inconsistent parent operation id.");
  return {};
}

Result<void> check_transition(const OperationUpdate& update, const Operation* current) {
  switch (update.type) {
    case Type::Step: {
      if (update.action == Action::Retry && !update.retry_delay_seconds)
        return refused("Invalid StepOptions for the given action.");
      if (current == nullptr) return {};
      bool open = current->status == Status::Started || current->status == Status::Ready;
      if (update.action == Action::Start && current->status != Status::Ready)
        return refused("Invalid current STEP state to start.");
      if (update.action == Action::Retry && !open)
        return refused("Invalid current STEP state to re-attempt.");
      if (!open) return refused("Invalid current STEP state to close.");
      return {};
    }
    case Type::Context:
      if (current == nullptr) return {};
      if (update.action == Action::Start) return refused("Cannot start a CONTEXT that already exist.");
      if (current->status != Status::Started) return refused("Invalid current CONTEXT state to close.");
      return {};
    case Type::Wait:
      if (update.action == Action::Start) {
        if (current != nullptr) return refused("Cannot start a WAIT that already exist.");
        return update.wait_seconds ? Result<void>() : refused("Invalid WaitOptions for the given action.");
      }
      if (current == nullptr || current->status != Status::Started)
        return refused("Cannot cancel a WAIT that does not exist or has already completed.");
      return {};
    case Type::Callback:
      return current == nullptr ? Result<void>() : refused("Cannot start a CALLBACK that already exist.");
    case Type::ChainedInvoke:
      if (current != nullptr) return refused("Cannot start a CHAINED_INVOKE operation that already exists.");
      if (update.chained_function.empty())
        return refused("Update for CHAINED_INVOKE operation requires ChainedInvokeOptions.");
      return {};
    case Type::Execution:
      break;
  }
  return refused("Unknown operation type.");
}

Operation begun(const OperationUpdate& update, int64_t now_ms) {
  return {.id = update.id,
          .parent_id = update.parent_id,
          .name = update.name,
          .sub_type = update.sub_type,
          .type = update.type,
          .started_ms = now_ms,
          .chained_function = update.chained_function};
}

int64_t after(int64_t now_ms, uint32_t seconds) {
  return now_ms + int64_t{seconds} * 1000;
}

void start(const OperationUpdate& update, Operation& operation, int64_t now_ms) {
  operation.status = Status::Started;
  operation.due_ms = 0;
  if (update.type == Type::Wait) operation.due_ms = after(now_ms, *update.wait_seconds);
  if (update.type == Type::ChainedInvoke) operation.result = update.payload.value_or("{}");
  if (update.type != Type::Callback) return;
  operation.callback_id = random_hex(24);
  operation.heartbeat_seconds = update.heartbeat_timeout_seconds;
  if (update.callback_timeout_seconds > 0)
    operation.timeout_ms = after(now_ms, update.callback_timeout_seconds);
  operation.due_ms = operation.timeout_ms;
  if (operation.heartbeat_seconds == 0) return;
  int64_t heartbeat = after(now_ms, operation.heartbeat_seconds);
  if (operation.due_ms == 0 || heartbeat < operation.due_ms) operation.due_ms = heartbeat;
}

void close(const OperationUpdate& update, Operation& operation, Status status, int64_t now_ms) {
  operation.status = status;
  operation.ended_ms = now_ms;
  operation.due_ms = 0;
  operation.result = update.payload;
  operation.error = update.error;
  if (update.type == Type::Step) ++operation.attempt;
  if (update.type == Type::Context) operation.replay_children = update.replay_children;
}

}  // namespace

Result<void> check_batch(const std::vector<OperationUpdate>& updates) {
  std::map<std::string_view, const OperationUpdate*> last;
  for (size_t i = 0; i < updates.size(); ++i) {
    const OperationUpdate& update = updates[i];
    if (!allows(update.type, update.action)) return refused("Invalid action for the given operation type.");
    if (update.type == Type::Execution && i + 1 < updates.size()) {
      bool again = updates.back().type == Type::Execution;
      return refused(again ? "Cannot checkpoint multiple EXECUTION updates."
                           : "EXECUTION checkpoint must be the last update.");
    }
    auto [at, first] = last.emplace(update.id, &update);
    if (first) continue;
    bool follows = (at->second->type == Type::Step || at->second->type == Type::Context) &&
                   at->second->action == Action::Start && update.action != Action::Start;
    if (!follows) return refused("Cannot checkpoint multiple operations with the same ID.");
    at->second = &update;
  }
  return {};
}

Result<void> check_sizes(const OperationUpdate& update, const Execution& execution,
                         const DurableLimits& limits) {
  if (update.error.size() > limits.error_bytes)
    return failure(Kind::InvalidArgument, "Error object size must be less than {} bytes.",
                   limits.error_bytes);
  if (!update.payload) return {};
  uint64_t most = limits.operation_bytes;
  if (update.type == Type::Execution) {
    bool waited_for = execution.source == InvocationSource::Sync && execution.parent == 0;
    most = waited_for ? limits.result_bytes : limits.async_bytes;
  }
  if (update.payload->size() <= most) return {};
  return failure(Kind::InvalidArgument, "{} output payload size must be less than or equal to {} bytes.",
                 name_of(update.type), most);
}

Result<void> check_execution_update(const OperationUpdate& update) {
  return check_outcome(update);
}

Result<Applied> apply_update(const OperationUpdate& update, const Operation* current, int64_t now_ms) {
  CHECK(check_outcome(update));
  if (current != nullptr) CHECK(check_identity(update, *current));
  CHECK(check_transition(update, current));
  Applied applied{.operation = current != nullptr ? *current : begun(update, now_ms), .event = {}};
  Operation& operation = applied.operation;
  switch (update.action) {
    case Action::Start:
      start(update, operation, now_ms);
      applied.event = started_event(operation, update, now_ms);
      return applied;
    case Action::Retry:
      ++operation.attempt;
      operation.status = Status::Pending;
      operation.due_ms = after(now_ms, *update.retry_delay_seconds);
      operation.result = update.payload;
      operation.error = update.error;
      applied.event = ended_event(operation, update.error.empty() ? Status::Succeeded : Status::Failed,
                                  now_ms, update.retry_delay_seconds);
      return applied;
    case Action::Succeed:
      close(update, operation, Status::Succeeded, now_ms);
      break;
    case Action::Fail:
      close(update, operation, Status::Failed, now_ms);
      break;
    case Action::Cancel:
      close(update, operation, Status::Cancelled, now_ms);
      break;
  }
  applied.event = ended_event(operation, operation.status, now_ms);
  return applied;
}

}  // namespace berth::functions::durable
