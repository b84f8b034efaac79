// Executions as rows.
#include <array>

#include "base/format.h"
#include "functions/durable/store.h"
#include "storage/database.h"

namespace berth::functions::durable {
namespace {

using storage::Statement;

constexpr std::array<std::string_view, 2> kSteps{R"(
  CREATE TABLE durable_executions(
    id INTEGER PRIMARY KEY AUTOINCREMENT, account TEXT NOT NULL, region TEXT NOT NULL, function TEXT NOT NULL,
    version TEXT NOT NULL, qualifier TEXT NOT NULL, name TEXT NOT NULL, invocation TEXT NOT NULL UNIQUE,
    source INTEGER NOT NULL, started_ms INTEGER NOT NULL, timeout_seconds INTEGER NOT NULL,
    retention_days INTEGER NOT NULL, kms_key TEXT NOT NULL, trace TEXT NOT NULL, dead_letter TEXT NOT NULL,
    parent INTEGER NOT NULL, parent_operation TEXT NOT NULL, input BLOB NOT NULL,
    status INTEGER NOT NULL, ended_ms INTEGER NOT NULL, timeout_ms INTEGER NOT NULL, error TEXT NOT NULL,
    sequence INTEGER NOT NULL, seen INTEGER NOT NULL, token INTEGER NOT NULL, last_event INTEGER NOT NULL,
    invoking TEXT NOT NULL, invoked_ms INTEGER NOT NULL, invoke_due_ms INTEGER NOT NULL, failures INTEGER NOT NULL,
    last_client TEXT NOT NULL, last_token TEXT NOT NULL, last_seen INTEGER NOT NULL,
    pause_ms INTEGER NOT NULL, pause_reason TEXT NOT NULL, pause_stops_timeout INTEGER NOT NULL,
    held_timeout_ms INTEGER NOT NULL,
    owed INTEGER NOT NULL, pause_token TEXT NOT NULL, pause_token_ms INTEGER NOT NULL,
    resume_token TEXT NOT NULL, resume_token_ms INTEGER NOT NULL,
    bytes INTEGER NOT NULL, operations INTEGER NOT NULL, letter_owed INTEGER NOT NULL, orphaned INTEGER NOT NULL,
    result BLOB);
  CREATE UNIQUE INDEX durable_names ON durable_executions(function, account, region, name) WHERE orphaned = 0;
  CREATE INDEX durable_due ON durable_executions(invoke_due_ms) WHERE invoke_due_ms > 0;
  CREATE INDEX durable_timeouts ON durable_executions(timeout_ms) WHERE status < 3;
  CREATE INDEX durable_expiries ON durable_executions(ended_ms + retention_days * 86400000) WHERE status >= 3;
  CREATE UNIQUE INDEX durable_children ON durable_executions(parent, parent_operation) WHERE parent > 0;
  CREATE INDEX durable_letters ON durable_executions(id) WHERE letter_owed = 1;
  CREATE TABLE durable_operations(
    row INTEGER PRIMARY KEY AUTOINCREMENT, execution INTEGER NOT NULL, id TEXT NOT NULL, parent TEXT NOT NULL,
    name TEXT NOT NULL, sub_type TEXT NOT NULL, type INTEGER NOT NULL, started_ms INTEGER NOT NULL,
    chained TEXT NOT NULL, callback_id TEXT NOT NULL, timeout_ms INTEGER NOT NULL, heartbeat INTEGER NOT NULL,
    status INTEGER NOT NULL, ended_ms INTEGER NOT NULL, touched INTEGER NOT NULL, due_ms INTEGER NOT NULL,
    attempt INTEGER NOT NULL, replay_children INTEGER NOT NULL, error TEXT NOT NULL,
    hidden INTEGER NOT NULL DEFAULT 0, result BLOB, UNIQUE(execution, id));
  CREATE INDEX durable_changes ON durable_operations(execution, touched);
  CREATE INDEX durable_parents ON durable_operations(execution, parent) WHERE parent <> '';
  CREATE INDEX durable_timers ON durable_operations(due_ms) WHERE due_ms > 0;
  CREATE INDEX durable_chained ON durable_operations(execution) WHERE type = 5 AND status = 0;
  CREATE UNIQUE INDEX durable_callbacks ON durable_operations(callback_id) WHERE callback_id <> '';
  CREATE TABLE durable_events(
    execution INTEGER NOT NULL, id INTEGER NOT NULL, at_ms INTEGER NOT NULL, type TEXT NOT NULL,
    operation TEXT NOT NULL, name TEXT NOT NULL, parent TEXT NOT NULL, sub_type TEXT NOT NULL, details TEXT NOT NULL,
    PRIMARY KEY(execution, id)) WITHOUT ROWID;
)",
                                                 // Apart: a row is written whole with every checkpoint.
                                                 R"(
  CREATE TABLE durable_inputs(execution INTEGER PRIMARY KEY, input BLOB NOT NULL);
  INSERT INTO durable_inputs SELECT id, input FROM durable_executions;
  ALTER TABLE durable_executions DROP COLUMN input;
)"};

constexpr std::string_view kColumns =
    "id, account, region, function, version, qualifier, name, invocation, source, started_ms, "
    "timeout_seconds, "
    "retention_days, kms_key, trace, dead_letter, parent, parent_operation, status, ended_ms, timeout_ms, "
    "error, "
    "sequence, seen, token, last_event, invoking, invoked_ms, invoke_due_ms, failures, last_client, "
    "last_token, "
    "last_seen, pause_ms, pause_reason, pause_stops_timeout, held_timeout_ms, owed, pause_token, "
    "pause_token_ms, resume_token, "
    "resume_token_ms, bytes, operations, letter_owed, orphaned";

/// Binds what changes in an execution's life, in the order of kColumns from `status`.
void bind_changes(Statement& write, const Execution& row) {
  write.bind(static_cast<int>(row.status)).bind(row.ended_ms).bind(row.timeout_ms).bind(row.error);
  write.bind(row.sequence).bind(row.seen).bind(row.token).bind(row.last_event).bind(row.invoking);
  write.bind(row.invoked_ms).bind(row.invoke_due_ms).bind(row.failures).bind(row.last_client);
  write.bind(row.last_token).bind(row.last_seen).bind(row.pause_ms).bind(row.pause_reason);
  write.bind(row.pause_stops_timeout)
      .bind(row.held_timeout_ms)
      .bind(row.owed)
      .bind(row.pause_token)
      .bind(row.pause_token_ms);
  write.bind(row.resume_token).bind(row.resume_token_ms).bind(row.bytes).bind(row.operations);
  write.bind(row.letter_owed).bind(row.orphaned);
}

/// Reads one row's columns, each after the other.
class Columns {
 public:
  explicit Columns(Statement& statement) : statement_(statement) {}
  std::string text() { return statement_.text(at_++); }
  int64_t integer() { return statement_.integer(at_++); }
  template <class T>
  T as() {
    return static_cast<T>(integer());
  }

 private:
  Statement& statement_;
  int at_ = 0;
};

Execution read_row(Statement& statement) {
  Columns columns(statement);
  Execution row;
  row.id = columns.integer();
  row.realm = {.account = columns.text(), .region = columns.text()};
  row.function = columns.text();
  row.version = columns.text();
  row.qualifier = columns.text();
  row.name = columns.text();
  row.invocation = columns.text();
  row.source = columns.as<InvocationSource>();
  row.started_ms = columns.integer();
  row.timeout_seconds = columns.as<uint32_t>();
  row.retention_days = columns.as<uint32_t>();
  row.kms_key = columns.text();
  row.trace = columns.text();
  row.dead_letter_arn = columns.text();
  row.parent = columns.integer();
  row.parent_operation = columns.text();
  row.status = columns.as<ExecutionStatus>();
  row.ended_ms = columns.integer();
  row.timeout_ms = columns.integer();
  row.error = columns.text();
  row.sequence = columns.integer();
  row.seen = columns.integer();
  row.token = columns.integer();
  row.last_event = columns.integer();
  row.invoking = columns.text();
  row.invoked_ms = columns.integer();
  row.invoke_due_ms = columns.integer();
  row.failures = columns.as<uint32_t>();
  row.last_client = columns.text();
  row.last_token = columns.text();
  row.last_seen = columns.integer();
  row.pause_ms = columns.integer();
  row.pause_reason = columns.text();
  row.pause_stops_timeout = columns.integer() != 0;
  row.held_timeout_ms = columns.integer();
  row.owed = columns.integer() != 0;
  row.pause_token = columns.text();
  row.pause_token_ms = columns.integer();
  row.resume_token = columns.text();
  row.resume_token_ms = columns.integer();
  row.bytes = columns.as<uint64_t>();
  row.operations = columns.as<uint64_t>();
  row.letter_owed = columns.integer() != 0;
  row.orphaned = columns.integer() != 0;
  return row;
}

std::string select(std::string_view where) {
  return fmt::format("SELECT {} FROM durable_executions {}", kColumns, where);
}

Result<std::optional<Execution>> first_row(Statement& statement) {
  TRY(bool found, statement.step());
  if (!found) return std::optional<Execution>();
  return std::optional(read_row(statement));
}

}  // namespace

Result<void> migrate_executions(Database& database) {
  return database.migrate("durable", kSteps);
}

Result<int64_t> insert_execution(Database& database, const Execution& row, std::string_view input) {
  static const std::string text = fmt::format(
      "INSERT INTO durable_executions({}) VALUES(NULL, "
      "?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,"
      "?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
      kColumns);
  {
    TRY(Statement write, database.prepare(text));
    write.bind(row.realm.account).bind(row.realm.region).bind(row.function).bind(row.version);
    write.bind(row.qualifier).bind(row.name).bind(row.invocation).bind(static_cast<int>(row.source));
    write.bind(row.started_ms).bind(row.timeout_seconds).bind(row.retention_days).bind(row.kms_key);
    write.bind(row.trace).bind(row.dead_letter_arn).bind(row.parent).bind(row.parent_operation);
    bind_changes(write, row);
    CHECK(write.run());
  }
  int64_t id = database.last_insert_id();
  TRY(Statement write, database.prepare("INSERT INTO durable_inputs(execution, input) VALUES(?, ?)"));
  CHECK(write.bind(id).bind_blob(input).run());
  return id;
}

Result<void> update_execution(Database& database, const Execution& row) {
  TRY(Statement write,
      database.prepare(
          "UPDATE durable_executions SET status = ?, ended_ms = ?, timeout_ms = ?, error = ?, sequence = ?, "
          "seen = ?, token = ?, last_event = ?, invoking = ?, invoked_ms = ?, invoke_due_ms = ?, failures = "
          "?, "
          "last_client = ?, last_token = ?, last_seen = ?, pause_ms = ?, pause_reason = ?, "
          "pause_stops_timeout = ?, held_timeout_ms = ?, owed = ?, pause_token = ?, pause_token_ms = ?, "
          "resume_token = ?, "
          "resume_token_ms = ?, bytes = ?, operations = ?, letter_owed = ?, orphaned = ? WHERE id = ?"));
  bind_changes(write, row);
  return write.bind(row.id).run();
}

Result<std::optional<Execution>> read_execution(Database& database, int64_t id) {
  static const std::string text = select("WHERE id = ?");
  TRY(Statement read, database.prepare(text));
  read.bind(id);
  return first_row(read);
}

Result<std::optional<Execution>> find_execution(Database& database, const ExecutionArn& arn) {
  static const std::string text = select(
      "WHERE invocation = ? AND account = ? AND region = ? AND function = ? AND version = ? AND name = ?");
  TRY(Statement read, database.prepare(text));
  read.bind(arn.invocation).bind(arn.realm.account).bind(arn.realm.region).bind(arn.function);
  read.bind(arn.version).bind(arn.name);
  return first_row(read);
}

Result<std::optional<Execution>> named_execution(Database& database, const Realm& realm,
                                                 std::string_view function, std::string_view name) {
  static const std::string text =
      select("WHERE function = ? AND account = ? AND region = ? AND name = ? AND orphaned = 0");
  TRY(Statement read, database.prepare(text));
  read.bind(function).bind(realm.account).bind(realm.region).bind(name);
  return first_row(read);
}

Result<std::string> read_input(Database& database, int64_t id) {
  TRY(Statement read, database.prepare("SELECT input FROM durable_inputs WHERE execution = ?"));
  TRY(bool found, read.bind(id).step());
  return found ? read.blob(0) : std::string();
}

Result<std::optional<std::string>> read_result(Database& database, int64_t id) {
  TRY(Statement read, database.prepare("SELECT result FROM durable_executions WHERE id = ?"));
  TRY(bool found, read.bind(id).step());
  if (!found || read.is_null(0)) return std::optional<std::string>();
  return std::optional(read.blob(0));
}

Result<void> write_result(Database& database, int64_t id, const std::optional<std::string>& result) {
  TRY(Statement write, database.prepare("UPDATE durable_executions SET result = ? WHERE id = ?"));
  if (result) {
    write.bind_blob(*result);
  } else {
    write.bind_null();
  }
  return write.bind(id).run();
}

Result<void> remove_execution(Database& database, int64_t id) {
  for (std::string_view text :
       {"DELETE FROM durable_events WHERE execution = ?",
        "DELETE FROM durable_operations WHERE execution = ?",
        "DELETE FROM durable_inputs WHERE execution = ?", "DELETE FROM durable_executions WHERE id = ?"}) {
    TRY(Statement remove, database.prepare(text));
    CHECK(remove.bind(id).run());
  }
  return {};
}

Result<std::vector<Execution>> list_executions(Database& database, const ExecutionFilter& filter,
                                               uint32_t limit) {
  std::string where = "WHERE function = ? AND account = ? AND region = ? AND orphaned = 0";
  if (!filter.version.empty()) where += " AND version = ?";
  if (!filter.name.empty()) where += " AND name = ?";
  if (filter.after_ms) where += " AND started_ms > ?";
  if (filter.before_ms) where += " AND started_ms < ?";
  if (filter.beyond != 0) where += filter.oldest_first ? " AND id > ?" : " AND id < ?";
  for (size_t i = 0; i < filter.statuses.size(); ++i) where += i == 0 ? " AND status IN (?" : ",?";
  if (!filter.statuses.empty()) where += ")";
  where += filter.oldest_first ? " ORDER BY id LIMIT ?" : " ORDER BY id DESC LIMIT ?";
  std::string text = select(where);
  TRY(Statement read, database.prepare(text));
  read.bind(filter.function).bind(filter.realm.account).bind(filter.realm.region);
  if (!filter.version.empty()) read.bind(filter.version);
  if (!filter.name.empty()) read.bind(filter.name);
  if (filter.after_ms) read.bind(*filter.after_ms);
  if (filter.before_ms) read.bind(*filter.before_ms);
  if (filter.beyond != 0) read.bind(filter.beyond);
  for (ExecutionStatus status : filter.statuses) read.bind(static_cast<int>(status));
  read.bind(limit);
  std::vector<Execution> found;
  while (true) {
    TRY(bool more, read.step());
    if (!more) return found;
    found.push_back(read_row(read));
  }
}

Result<void> orphan_executions(Database& database, const Realm& realm, std::string_view function) {
  TRY(Statement write, database.prepare("UPDATE durable_executions SET orphaned = 1 WHERE function = ? AND "
                                        "account = ? AND region = ? AND orphaned = 0"));
  return write.bind(function).bind(realm.account).bind(realm.region).run();
}

Result<uint64_t> recover_invocations(Database& database, int64_t now_ms) {
  {
    TRY(Statement paused,
        database.prepare("UPDATE durable_executions SET status = 2, owed = 1, invoking = '' WHERE status IN "
                         "(1, 2) AND invoking <> ''"));
    CHECK(paused.run());
  }
  {
    TRY(Statement over,
        database.prepare("UPDATE durable_executions SET invoking = '' WHERE status >= 3 AND invoking <> ''"));
    CHECK(over.run());
  }
  TRY(Statement again,
      database.prepare("UPDATE durable_executions SET invoking = '', invoke_due_ms = ? WHERE "
                       "status = 0 AND invoking <> ''"));
  CHECK(again.bind(now_ms).run());
  return static_cast<uint64_t>(database.changes());
}

Result<Totals> totals(Database& database) {
  TRY(Statement read, database.prepare("SELECT COUNT(*), COALESCE(SUM(bytes), 0) FROM durable_executions"));
  TRY([[maybe_unused]] bool row, read.step());
  return Totals{static_cast<uint64_t>(read.integer(0)), static_cast<uint64_t>(read.integer(1))};
}

namespace {

Result<std::vector<int64_t>> ids(Statement& read) {
  std::vector<int64_t> found;
  while (true) {
    TRY(bool more, read.step());
    if (!more) return found;
    found.push_back(read.integer(0));
  }
}

}  // namespace

Result<std::vector<int64_t>> executions_to_invoke(Database& database, int64_t now_ms, uint32_t limit) {
  TRY(Statement read, database.prepare("SELECT id FROM durable_executions WHERE invoke_due_ms > 0 AND "
                                       "invoke_due_ms <= ? ORDER BY invoke_due_ms, id LIMIT ?"));
  read.bind(now_ms).bind(limit);
  return ids(read);
}

Result<std::vector<int64_t>> executions_timed_out(Database& database, int64_t now_ms, uint32_t limit) {
  TRY(Statement read,
      database.prepare("SELECT id FROM durable_executions WHERE status < 3 AND timeout_ms <= ? "
                       "ORDER BY timeout_ms LIMIT ?"));
  read.bind(now_ms).bind(limit);
  return ids(read);
}

Result<std::vector<int64_t>> executions_expired(Database& database, int64_t now_ms, uint32_t limit) {
  TRY(Statement read,
      database.prepare(
          "SELECT id FROM durable_executions WHERE status >= 3 AND "
          "ended_ms + retention_days * 86400000 <= ? ORDER BY ended_ms + retention_days * 86400000 "
          "LIMIT ?"));
  read.bind(now_ms).bind(limit);
  return ids(read);
}

Result<std::vector<int64_t>> running_executions(Database& database, const Realm& realm,
                                                std::string_view function) {
  TRY(Statement read,
      database.prepare("SELECT id FROM durable_executions WHERE function = ? AND account = ? AND "
                       "region = ? AND orphaned = 0 AND status < 3"));
  read.bind(function).bind(realm.account).bind(realm.region);
  return ids(read);
}

Result<std::vector<int64_t>> owed_letters(Database& database) {
  TRY(Statement read, database.prepare("SELECT id FROM durable_executions WHERE letter_owed = 1 LIMIT 10"));
  return ids(read);
}

Result<std::optional<int64_t>> next_moment(Database& database, int64_t now_ms) {
  constexpr std::array<std::string_view, 4> texts{
      "SELECT MIN(invoke_due_ms) FROM durable_executions WHERE invoke_due_ms > 0 AND invoke_due_ms > ?",
      "SELECT MIN(timeout_ms) FROM durable_executions WHERE status < 3 AND timeout_ms > ?",
      "SELECT MIN(ended_ms + retention_days * 86400000) FROM durable_executions WHERE status >= 3 AND "
      "ended_ms + retention_days * 86400000 > ?",
      "SELECT MIN(due_ms) FROM durable_operations WHERE due_ms > 0 AND due_ms > ?"};
  std::optional<int64_t> next;
  for (std::string_view text : texts) {
    TRY(Statement read, database.prepare(text));
    TRY(bool row, read.bind(now_ms).step());
    if (row && !read.is_null(0) && (!next || read.integer(0) < *next)) next = read.integer(0);
  }
  return next;
}

}  // namespace berth::functions::durable
