// EventQueue: the durable queue of asynchronous events. Each function has a lane of its own, so that one that
// is slow or throttled does not hold up the others. An event leaves the database in the transaction that
// hands over what became of it (a destination's message, a dead letter); until then a killed daemon finds it
// again and the function sees it at least once. Loop thread.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/clock.h"
#include "functions/async_queue.h"
#include "functions/events/event_store.h"
#include "functions/events/retry_policy.h"
#include "functions/invocation.h"
#include "io/event_loop.h"
#include "io/sync.h"
#include "io/task_group.h"

namespace berth::storage {
class GroupCommit;
}
namespace berth::functions {
class Catalog;
namespace queues {
class Queues;
}
}  // namespace berth::functions

namespace berth::functions::events {

/// The function that an event is for, as it is now.
struct Addressee {
  FunctionVersionPtr version;
  EventInvokeSettings settings;
};
/// NotFound: the function is gone, and its events with it.
using FindAddressee = std::function<Result<Addressee>(const Realm& realm, const std::string& function,
                                                      const std::string& qualifier)>;
/// From the catalog, which must outlive it.
FindAddressee addressee_from(const Catalog& catalog);

struct EventQueueOptions {
  uint64_t max_events = 5'000'000;
  uint64_t max_bytes = 8ull << 30;  ///< of payloads
  uint32_t per_function = 64;       ///< events of one function at work at once; the invoker's limits hold too
  uint32_t together = 256;          ///< events of all functions
  RetryDelays delays = {};
};

class EventQueue final : public AsyncQueue {
 public:
  /// Makes the tables and goes on with what an earlier daemon left. `queues` gets dead letters and
  /// destinations' messages; its tables are in the same database.
  static Result<std::unique_ptr<EventQueue>> open(io::EventLoop& loop, storage::Database& database,
                                                  storage::GroupCommit& commits, FindAddressee find,
                                                  Invoker& invoker, queues::Queues& queues,
                                                  EventQueueOptions options = {},
                                                  const Clock& clock = Clock::system());
  ~EventQueue() override;

  /// Begins to call functions. Until then, and after stop(), events are only stored.
  void start();
  /// Attempts under way are let go; their events stay and are tried again by the next daemon.
  void stop();

  io::Task<Result<void>> enqueue(AsyncEvent event) override;
  /// For transactions that belong to others (a schedule's next time): prepares the event on the loop thread,
  /// and after the commit take_over() lets the queue know of it.
  struct Prepared {
    AsyncEvent event;
    int64_t now_ms = 0;
  };
  Result<Prepared> prepare(AsyncEvent event) const;
  static Result<void> insert_within(storage::Database& database, const Prepared& prepared);
  void take_over(const Prepared& prepared);

  /// Events that wait or are at work.
  uint64_t size() const { return stored_events_; }
  /// Removes the events of a function that is gone.
  io::Task<Result<void>> forget(Realm realm, std::string function);
  /// Looks again whether something is due: for clocks that are moved by hand.
  void look_again();

 private:
  struct LaneState;
  struct Attempted;
  EventQueue(io::EventLoop& loop, storage::GroupCommit& commits, FindAddressee find, Invoker& invoker,
             queues::Queues& queues, EventQueueOptions options, const Clock& clock);
  int64_t now_ms() const;
  void feed(const Lane& lane, uint64_t events, uint64_t bytes);
  io::Task<void> run_lane(std::shared_ptr<LaneState> lane);
  io::Task<bool> refill(std::shared_ptr<LaneState> lane);
  io::Task<void> wait_for_due(std::shared_ptr<LaneState> lane, std::optional<int64_t> due_ms);
  io::Task<void> process(std::shared_ptr<LaneState> lane, std::shared_ptr<StoredEvent> event);
  io::Task<void> attempt(std::shared_ptr<LaneState> lane, std::shared_ptr<StoredEvent> event);
  io::Task<void> reschedule(const StoredEvent& event, Decision decision);
  io::Task<void> finish(std::shared_ptr<StoredEvent> event, Attempted what);
  io::Task<bool> hand_over(std::shared_ptr<StoredEvent> event, Attempted what);
  io::Task<void> discard(std::shared_ptr<StoredEvent> event, std::string why);
  void gone(LaneState& lane, const StoredEvent& event);

  io::EventLoop& loop_;
  storage::GroupCommit& commits_;
  FindAddressee find_;
  Invoker& invoker_;
  queues::Queues& queues_;
  EventQueueOptions options_;
  const Clock& clock_;
  mutable int64_t latest_ms_ = 0;  ///< time never goes backwards here: lanes are read in its order
  uint64_t stored_events_ = 0, stored_bytes_ = 0;
  uint32_t at_work_ = 0;
  bool started_ = false;
  io::Condition room_;  ///< an attempt has ended
  std::map<Lane, std::shared_ptr<LaneState>> lanes_;
  io::TaskGroup tasks_;
};

}  // namespace berth::functions::events
