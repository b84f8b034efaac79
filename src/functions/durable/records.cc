#include "functions/durable/records.h"

#include <iterator>

namespace berth::functions::durable {
namespace {

constexpr std::string_view types[] = {"EXECUTION", "CONTEXT", "STEP", "WAIT", "CALLBACK", "CHAINED_INVOKE"};
constexpr std::string_view actions[] = {"START", "SUCCEED", "FAIL", "RETRY", "CANCEL"};
constexpr std::string_view operation_statuses[] = {"STARTED", "PENDING",   "READY",     "SUCCEEDED",
                                                   "FAILED",  "CANCELLED", "TIMED_OUT", "STOPPED"};
constexpr std::string_view execution_statuses[] = {"RUNNING", "PAUSING",   "PAUSED", "SUCCEEDED",
                                                   "FAILED",  "TIMED_OUT", "STOPPED"};

template <class E, size_t n>
std::optional<E> find(const std::string_view (&names)[n], std::string_view text) {
  for (size_t i = 0; i < n; ++i) {
    if (names[i] == text) return static_cast<E>(i);
  }
  return std::nullopt;
}

}  // namespace

std::string_view name_of(OperationType type) {
  return types[static_cast<size_t>(type)];
}
std::string_view name_of(OperationAction action) {
  return actions[static_cast<size_t>(action)];
}
std::string_view name_of(OperationStatus status) {
  return operation_statuses[static_cast<size_t>(status)];
}
std::string_view name_of(ExecutionStatus status) {
  return execution_statuses[static_cast<size_t>(status)];
}

std::optional<OperationType> parse_operation_type(std::string_view text) {
  return find<OperationType>(types, text);
}
std::optional<OperationAction> parse_operation_action(std::string_view text) {
  return find<OperationAction>(actions, text);
}
std::optional<ExecutionStatus> parse_execution_status(std::string_view text) {
  return find<ExecutionStatus>(execution_statuses, text);
}

bool is_terminal(OperationStatus status) {
  return status >= OperationStatus::Succeeded;
}

}  // namespace berth::functions::durable
