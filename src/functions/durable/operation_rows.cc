// Operations and history as rows.
#include "base/format.h"
#include "functions/durable/store.h"
#include "storage/database.h"

namespace berth::functions::durable {
namespace {

using storage::Statement;

#define BERTH_OPERATION_COLUMNS                                                                              \
  "row, id, parent, name, sub_type, type, started_ms, chained, callback_id, timeout_ms, heartbeat, status, " \
  "ended_ms, touched, due_ms, attempt, replay_children, error, result, execution"

constexpr int kExecutionColumn = 19;

Operation read_row(const Statement& read) {
  Operation operation{.row = read.integer(0),
                      .id = read.text(1),
                      .parent_id = read.text(2),
                      .name = read.text(3),
                      .sub_type = read.text(4),
                      .type = static_cast<OperationType>(read.integer(5)),
                      .status = static_cast<OperationStatus>(read.integer(11)),
                      .started_ms = read.integer(6),
                      .ended_ms = read.integer(12),
                      .touched = read.integer(13),
                      .due_ms = read.integer(14),
                      .attempt = static_cast<uint32_t>(read.integer(15)),
                      .replay_children = read.integer(16) != 0,
                      .error = read.text(17),
                      .callback_id = read.text(8),
                      .timeout_ms = read.integer(9),
                      .heartbeat_seconds = static_cast<uint32_t>(read.integer(10)),
                      .chained_function = read.text(7)};
  if (!read.is_null(18)) operation.result = read.blob(18);
  return operation;
}

Result<std::optional<Operation>> first_row(Statement& read) {
  TRY(bool found, read.step());
  if (!found) return std::optional<Operation>();
  return std::optional(read_row(read));
}

Result<bool> exists(Statement& read) {
  TRY(bool found, read.step());
  return found;
}

void bind_result(Statement& write, const Operation& operation) {
  if (operation.result) {
    write.bind_blob(*operation.result);
  } else {
    write.bind_null();
  }
}

Result<void> insert(Database& database, int64_t execution, Operation& operation) {
  TRY(Statement write, database.prepare("INSERT INTO durable_operations(" BERTH_OPERATION_COLUMNS
                                        ") VALUES(NULL,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"));
  write.bind(operation.id).bind(operation.parent_id).bind(operation.name).bind(operation.sub_type);
  write.bind(static_cast<int>(operation.type)).bind(operation.started_ms).bind(operation.chained_function);
  write.bind(operation.callback_id).bind(operation.timeout_ms).bind(operation.heartbeat_seconds);
  write.bind(static_cast<int>(operation.status)).bind(operation.ended_ms).bind(operation.touched);
  write.bind(operation.due_ms).bind(operation.attempt).bind(operation.replay_children).bind(operation.error);
  bind_result(write, operation);
  CHECK(write.bind(execution).run());
  operation.row = database.last_insert_id();
  return {};
}

}  // namespace

Result<void> write_operation(Database& database, int64_t execution, Operation& operation) {
  if (operation.row == 0) return insert(database, execution, operation);
  TRY(Statement write,
      database.prepare("UPDATE durable_operations SET status = ?, ended_ms = ?, touched = ?, due_ms = ?, "
                       "attempt = ?, replay_children = ?, error = ?, result = ? WHERE row = ?"));
  write.bind(static_cast<int>(operation.status)).bind(operation.ended_ms).bind(operation.touched);
  write.bind(operation.due_ms).bind(operation.attempt).bind(operation.replay_children).bind(operation.error);
  bind_result(write, operation);
  return write.bind(operation.row).run();
}

Result<std::optional<Operation>> read_operation(Database& database, int64_t execution, std::string_view id) {
  TRY(Statement read, database.prepare("SELECT " BERTH_OPERATION_COLUMNS
                                       " FROM durable_operations WHERE execution = ? AND id = ?"));
  read.bind(execution).bind(id);
  return first_row(read);
}

Result<std::optional<Operation>> operation_of_row(Database& database, int64_t row) {
  TRY(Statement read,
      database.prepare("SELECT " BERTH_OPERATION_COLUMNS " FROM durable_operations WHERE row = ?"));
  read.bind(row);
  return first_row(read);
}

Result<std::optional<Execution>> execution_of_row(Database& database, int64_t row) {
  int64_t execution = 0;
  {
    TRY(Statement read, database.prepare("SELECT execution FROM durable_operations WHERE row = ?"));
    TRY(bool found, read.bind(row).step());
    if (!found) return std::optional<Execution>();
    execution = read.integer(0);
  }
  return read_execution(database, execution);
}

Result<std::optional<CallbackPlace>> find_callback(Database& database, std::string_view callback_id) {
  TRY(Statement read,
      database.prepare("SELECT " BERTH_OPERATION_COLUMNS
                       " FROM durable_operations WHERE callback_id = ? AND callback_id <> ''"));
  TRY(bool found, read.bind(callback_id).step());
  if (!found) return std::optional<CallbackPlace>();
  return std::optional(CallbackPlace{read.integer(kExecutionColumn), read_row(read)});
}

Result<std::vector<Operation>> changed_operations(Database& database, int64_t execution, int64_t sequence) {
  TRY(Statement read,
      database.prepare("SELECT " BERTH_OPERATION_COLUMNS
                       " FROM durable_operations WHERE execution = ? AND touched > ? ORDER BY row"));
  read.bind(execution).bind(sequence);
  std::vector<Operation> found;
  while (true) {
    TRY(bool more, read.step());
    if (!more) return found;
    found.push_back(read_row(read));
  }
}

Result<bool> any_changed(Database& database, int64_t execution, int64_t sequence) {
  TRY(Statement read,
      database.prepare("SELECT 1 FROM durable_operations WHERE execution = ? AND touched > ? LIMIT 1"));
  read.bind(execution).bind(sequence);
  return exists(read);
}

Result<bool> any_pending(Database& database, int64_t execution) {
  // A step that waits for its next attempt; a wait, a callback or a chained invoke that goes on.
  TRY(Statement read,
      database.prepare("SELECT 1 FROM durable_operations WHERE execution = ? AND ((type = 2 AND "
                       "status = 1) OR (type >= 3 AND status = 0)) LIMIT 1"));
  read.bind(execution);
  return exists(read);
}

Result<OperationPage> operations_page(Database& database, int64_t execution, int64_t beyond, uint32_t limit,
                                      uint64_t most_bytes) {
  TRY(Statement read,
      database.prepare(
          "SELECT " BERTH_OPERATION_COLUMNS
          " FROM durable_operations WHERE execution = ? AND row > ? AND hidden = 0 ORDER BY row"));
  read.bind(execution).bind(beyond);
  OperationPage page;
  uint64_t bytes = 0;
  while (true) {
    TRY(bool more, read.step());
    if (!more) return page;
    if (page.operations.size() >= limit || (bytes >= most_bytes && !page.operations.empty())) {
      page.beyond = page.operations.back().row;
      return page;
    }
    page.operations.push_back(read_row(read));
    const Operation& last = page.operations.back();
    bytes += last.result.value_or("").size() + last.error.size() + 256;
  }
}

Result<void> hide_children(Database& database, int64_t execution, std::string_view context) {
  TRY(Statement write,
      database.prepare(
          "WITH RECURSIVE below(id) AS (SELECT id FROM durable_operations WHERE execution = ?1 AND "
          "parent = ?2 AND parent <> '' UNION SELECT o.id FROM durable_operations o JOIN below ON "
          "o.execution = ?1 AND o.parent = below.id AND o.parent <> '') UPDATE durable_operations "
          "SET hidden = 1 WHERE execution = ?1 AND id IN (SELECT id FROM below)"));
  return write.bind(execution).bind(context).run();
}

Result<void> silence_operations(Database& database, int64_t execution) {
  TRY(Statement write,
      database.prepare("UPDATE durable_operations SET due_ms = 0 WHERE execution = ? AND due_ms > 0"));
  return write.bind(execution).run();
}

Result<std::vector<CallbackPlace>> due_operations(Database& database, int64_t now_ms, uint32_t limit,
                                                  int64_t execution) {
  TRY(Statement read,
      database.prepare(
          "SELECT " BERTH_OPERATION_COLUMNS
          " FROM durable_operations WHERE due_ms > 0 AND due_ms <= ?1 AND (?2 = 0 OR execution = "
          "?2) ORDER BY due_ms, row LIMIT ?3"));
  read.bind(now_ms).bind(execution).bind(limit);
  std::vector<CallbackPlace> found;
  while (true) {
    TRY(bool more, read.step());
    if (!more) return found;
    found.push_back({read.integer(kExecutionColumn), read_row(read)});
  }
}

Result<std::vector<int64_t>> chained_invokes(Database& database) {
  TRY(Statement read,
      database.prepare(
          "SELECT o.row FROM durable_operations o JOIN durable_executions e ON e.id = o.execution "
          "WHERE o.type = 5 AND o.status = 0 AND e.status < 3 AND NOT EXISTS (SELECT 1 FROM "
          "durable_executions c WHERE c.parent > 0 AND c.parent = e.id AND c.parent_operation = o.id)"));
  std::vector<int64_t> found;
  while (true) {
    TRY(bool more, read.step());
    if (!more) return found;
    found.push_back(read.integer(0));
  }
}

Result<void> append_event(Database& database, Execution& execution, HistoryEvent event) {
  TRY(Statement write,
      database.prepare("INSERT INTO durable_events(execution, id, at_ms, type, operation, name, parent, "
                       "sub_type, details) VALUES(?,?,?,?,?,?,?,?,?)"));
  write.bind(execution.id).bind(++execution.last_event).bind(event.at_ms).bind(event.type);
  write.bind(event.operation_id).bind(event.name).bind(event.parent_id).bind(event.sub_type);
  return write.bind(event.details).run();
}

Result<EventPage> events_page(Database& database, int64_t execution, int64_t beyond, bool newest_first,
                              uint32_t limit) {
  constexpr uint64_t most_bytes = 6 << 20;
  constexpr std::string_view forward =
      "SELECT id, at_ms, type, operation, name, parent, sub_type, details FROM durable_events WHERE "
      "execution = ?1 AND id > ?2 ORDER BY id";
  constexpr std::string_view backward =
      "SELECT id, at_ms, type, operation, name, parent, sub_type, details FROM durable_events WHERE "
      "execution = ?1 AND (?2 = 0 OR id < ?2) ORDER BY id DESC";
  TRY(Statement read, database.prepare(newest_first ? backward : forward));
  read.bind(execution).bind(beyond);
  EventPage page;
  uint64_t bytes = 0;
  while (true) {
    TRY(bool more, read.step());
    if (!more) return page;
    if (page.events.size() >= limit || (bytes >= most_bytes && !page.events.empty())) {
      page.beyond = page.events.back().id;
      return page;
    }
    page.events.push_back({.type = read.text(2),
                           .operation_id = read.text(3),
                           .name = read.text(4),
                           .parent_id = read.text(5),
                           .sub_type = read.text(6),
                           .details = read.text(7),
                           .id = read.integer(0),
                           .at_ms = read.integer(1)});
    bytes += page.events.back().details.size();
  }
}

}  // namespace berth::functions::durable
