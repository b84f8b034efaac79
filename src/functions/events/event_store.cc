#include "functions/events/event_store.h"

#include <array>

#include "storage/database.h"

namespace berth::functions::events {
namespace {

using storage::Database;
using storage::Statement;

constexpr size_t kMaxBatchBytes = 4 << 20;

constexpr std::array<std::string_view, 2> kSteps{
    R"(
  CREATE TABLE events(
    id INTEGER PRIMARY KEY AUTOINCREMENT, account TEXT NOT NULL, region TEXT NOT NULL, function TEXT NOT NULL,
    qualifier TEXT NOT NULL, request_id TEXT NOT NULL, payload BLOB NOT NULL, client_context TEXT NOT NULL,
    trace TEXT NOT NULL, source INTEGER NOT NULL, accepted_ms INTEGER NOT NULL, due_ms INTEGER NOT NULL,
    errors INTEGER NOT NULL DEFAULT 0, throttles INTEGER NOT NULL DEFAULT 0);
  CREATE INDEX events_due ON events(function, account, region, due_ms, id);
)",
    "ALTER TABLE events ADD COLUMN tenant TEXT NOT NULL DEFAULT ''"};

}  // namespace

Result<void> migrate_events(Database& database) {
  return database.migrate("events", kSteps);
}

Result<int64_t> insert_event(Database& database, const AsyncEvent& event, int64_t accepted_ms,
                             int64_t due_ms) {
  TRY(Statement write,
      database.prepare("INSERT INTO events(account, region, function, qualifier, request_id, payload, "
                       "client_context, trace, source, accepted_ms, due_ms, tenant) "
                       "VALUES(?,?,?,?,?,?,?,?,?,?,?,?)"));
  write.bind(event.realm.account).bind(event.realm.region).bind(event.function).bind(event.qualifier);
  write.bind(event.request_id).bind_blob(event.payload).bind(event.client_context).bind(event.trace_header);
  CHECK(write.bind(static_cast<int>(event.source)).bind(accepted_ms).bind(due_ms).bind(event.tenant).run());
  return database.last_insert_id();
}

Result<void> reschedule_event(Database& database, int64_t id, const Decision& decision) {
  TRY(Statement write,
      database.prepare("UPDATE events SET due_ms = ?, errors = ?, throttles = ? WHERE id = ?"));
  write.bind(decision.due_ms).bind(decision.progress.errors).bind(decision.progress.throttles);
  return write.bind(id).run();
}

Result<void> delete_event(Database& database, int64_t id) {
  TRY(Statement remove, database.prepare("DELETE FROM events WHERE id = ?"));
  return remove.bind(id).run();
}

Result<void> delete_events_of(Database& database, const Lane& lane) {
  TRY(Statement remove,
      database.prepare("DELETE FROM events WHERE function = ? AND account = ? AND region = ?"));
  return remove.bind(lane.function).bind(lane.realm.account).bind(lane.realm.region).run();
}

Result<DueEvents> due_events(Database& database, const Lane& lane, Place after, int64_t now_ms,
                             uint32_t limit) {
  DueEvents due;
  {
    TRY(Statement read,
        database.prepare(
            "SELECT id, due_ms, qualifier, request_id, payload, client_context, trace, source, "
            "accepted_ms, errors, throttles, tenant FROM events WHERE function = ? AND account = ? AND "
            "region = ? AND (due_ms, id) > (?, ?) AND due_ms <= ? ORDER BY due_ms, id LIMIT ?"));
    read.bind(lane.function).bind(lane.realm.account).bind(lane.realm.region);
    read.bind(after.due_ms).bind(after.id).bind(now_ms).bind(limit);
    size_t bytes = 0;
    while (bytes < kMaxBatchBytes) {
      TRY(bool more, read.step());
      if (!more) break;
      StoredEvent event;
      event.id = read.integer(0);
      event.due_ms = read.integer(1);
      event.event = {.realm = lane.realm,
                     .function = lane.function,
                     .qualifier = read.text(2),
                     .request_id = read.text(3),
                     .payload = read.blob(4),
                     .client_context = read.text(5),
                     .trace_header = read.text(6),
                     .tenant = read.text(11),
                     .source = static_cast<InvocationSource>(read.integer(7))};
      event.progress = {.accepted_ms = read.integer(8),
                        .errors = static_cast<uint32_t>(read.integer(9)),
                        .throttles = static_cast<uint32_t>(read.integer(10))};
      bytes += event.event.payload.size();
      due.events.push_back(std::move(event));
    }
  }
  if (!due.events.empty()) return due;
  TRY(Statement next,
      database.prepare("SELECT MIN(due_ms) FROM events WHERE function = ? AND account = ? AND "
                       "region = ? AND due_ms > ?"));
  next.bind(lane.function).bind(lane.realm.account).bind(lane.realm.region);
  TRY(bool row, next.bind(now_ms).step());
  if (row && !next.is_null(0)) due.next_due_ms = next.integer(0);
  return due;
}

Result<std::vector<LaneTotals>> stored_lanes(Database& database) {
  TRY(Statement read, database.prepare("SELECT account, region, function, COUNT(*), SUM(LENGTH(payload)) "
                                       "FROM events GROUP BY account, region, function"));
  std::vector<LaneTotals> lanes;
  while (true) {
    TRY(bool more, read.step());
    if (!more) return lanes;
    lanes.push_back({.lane = {{.account = read.text(0), .region = read.text(1)}, read.text(2)},
                     .events = static_cast<uint64_t>(read.integer(3)),
                     .bytes = static_cast<uint64_t>(read.integer(4))});
  }
}

}  // namespace berth::functions::events
