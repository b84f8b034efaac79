// EventStore: asynchronous events as rows. Called inside a transaction on a worker thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "functions/async_queue.h"
#include "functions/events/retry_policy.h"

namespace berth::storage {
class Database;
}

namespace berth::functions::events {

/// An event in the queue.
struct StoredEvent {
  int64_t id = 0;
  int64_t due_ms = 0;
  AsyncEvent event;
  EventProgress progress;
};

/// Which function's events.
struct Lane {
  Realm realm;
  std::string function;
  auto operator<=>(const Lane&) const = default;
};

/// The place of an event in its function's order.
struct Place {
  int64_t due_ms = 0, id = 0;
};

Result<void> migrate_events(storage::Database& database);
Result<int64_t> insert_event(storage::Database& database, const AsyncEvent& event, int64_t accepted_ms,
                             int64_t due_ms);
Result<void> reschedule_event(storage::Database& database, int64_t id, const Decision& decision);
Result<void> delete_event(storage::Database& database, int64_t id);
Result<void> delete_events_of(storage::Database& database, const Lane& lane);

struct DueEvents {
  std::vector<StoredEvent> events;
  std::optional<int64_t> next_due_ms;  ///< of what is not due yet, when `events` is empty
};
/// Events behind `after` that are due, in order; at most `limit` and some megabytes.
Result<DueEvents> due_events(storage::Database& database, const Lane& lane, Place after, int64_t now_ms,
                             uint32_t limit);

struct LaneTotals {
  Lane lane;
  uint64_t events = 0, bytes = 0;
};
Result<std::vector<LaneTotals>> stored_lanes(storage::Database& database);

}  // namespace berth::functions::events
