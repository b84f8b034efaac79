// Durable executions as rows of queue.db. Each function is called inside a transaction on a worker thread;
// none knows what a change means (work.h does).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "functions/durable/names.h"
#include "functions/durable/records.h"

namespace berth::storage {
class Database;
}

namespace berth::functions::durable {

using storage::Database;

Result<void> migrate_executions(Database& database);

// Executions. Input and result are large and read alone.
Result<int64_t> insert_execution(Database& database, const Execution& execution, std::string_view input);
/// All of it but input and result.
Result<void> update_execution(Database& database, const Execution& execution);
Result<std::optional<Execution>> read_execution(Database& database, int64_t id);
/// By all parts of the ARN.
Result<std::optional<Execution>> find_execution(Database& database, const ExecutionArn& arn);
/// The one of this name, unless its function is gone.
Result<std::optional<Execution>> named_execution(Database& database, const Realm& realm,
                                                 std::string_view function, std::string_view name);
Result<std::string> read_input(Database& database, int64_t id);
Result<std::optional<std::string>> read_result(Database& database, int64_t id);
Result<void> write_result(Database& database, int64_t id, const std::optional<std::string>& result);
/// With operations and history.
Result<void> remove_execution(Database& database, int64_t id);

struct ExecutionFilter {
  Realm realm;
  std::string function;
  std::string version;  ///< empty: all
  std::string name;     ///< empty: all
  std::vector<ExecutionStatus> statuses;
  std::optional<int64_t> after_ms, before_ms;  ///< of the start
  bool oldest_first = false;
  int64_t beyond = 0;  ///< id of the last one that was shown; 0: from the beginning
};
/// At most `limit`.
Result<std::vector<Execution>> list_executions(Database& database, const ExecutionFilter& filter,
                                               uint32_t limit);

// Operations.
/// Inserts where row is 0, and sets it.
Result<void> write_operation(Database& database, int64_t execution, Operation& operation);
Result<std::optional<Operation>> read_operation(Database& database, int64_t execution, std::string_view id);
Result<std::optional<Operation>> operation_of_row(Database& database, int64_t row);
/// The execution that the operation of this row belongs to.
Result<std::optional<Execution>> execution_of_row(Database& database, int64_t row);
/// Which execution the callback belongs to, and its operation.
struct CallbackPlace {
  int64_t execution = 0;
  Operation operation;
};
Result<std::optional<CallbackPlace>> find_callback(Database& database, std::string_view callback_id);
/// Those changed after `sequence`, in the order of their start.
Result<std::vector<Operation>> changed_operations(Database& database, int64_t execution, int64_t sequence);
Result<bool> any_changed(Database& database, int64_t execution, int64_t sequence);
Result<bool> any_pending(Database& database, int64_t execution);
struct OperationPage {
  std::vector<Operation> operations;
  int64_t beyond = 0;  ///< row to go on behind; 0: that was all
};
/// What a replay needs: without what lies within contexts that have ended for good.
Result<OperationPage> operations_page(Database& database, int64_t execution, int64_t beyond, uint32_t limit,
                                      uint64_t most_bytes);
/// Nothing below the context is replayed any more.
Result<void> hide_children(Database& database, int64_t execution, std::string_view context);
/// No timer of the execution's operations rings any more.
Result<void> silence_operations(Database& database, int64_t execution);
/// Whose timers have rung: execution and operation, soonest first.
Result<std::vector<CallbackPlace>> due_operations(Database& database, int64_t now_ms, uint32_t limit,
                                                  int64_t execution = 0);

// History.
Result<void> append_event(Database& database, Execution& execution, HistoryEvent event);
struct EventPage {
  std::vector<HistoryEvent> events;
  int64_t beyond = 0;  ///< id to go on behind; 0: that was all
};
Result<EventPage> events_page(Database& database, int64_t execution, int64_t beyond, bool newest_first,
                              uint32_t limit);

// What is to be done.
Result<std::vector<int64_t>> executions_to_invoke(Database& database, int64_t now_ms, uint32_t limit);
Result<std::vector<int64_t>> executions_timed_out(Database& database, int64_t now_ms, uint32_t limit);
Result<std::vector<int64_t>> executions_expired(Database& database, int64_t now_ms, uint32_t limit);
/// The next moment at which one of these has something to do.
Result<std::optional<int64_t>> next_moment(Database& database, int64_t now_ms);
Result<std::vector<int64_t>> running_executions(Database& database, const Realm& realm,
                                                std::string_view function);
/// Rows of chained invokes under way whose function is no durable one.
Result<std::vector<int64_t>> chained_invokes(Database& database);
Result<std::vector<int64_t>> owed_letters(Database& database);
/// Invocations that an earlier daemon left: they are due again. How many there were.
Result<uint64_t> recover_invocations(Database& database, int64_t now_ms);
struct Totals {
  uint64_t executions = 0, bytes = 0;
};
Result<Totals> totals(Database& database);
Result<void> orphan_executions(Database& database, const Realm& realm, std::string_view function);

}  // namespace berth::functions::durable
