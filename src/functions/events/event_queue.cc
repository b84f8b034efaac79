#include "functions/events/event_queue.h"

#include <algorithm>

#include "base/format.h"
#include "base/log.h"
#include "functions/events/destinations.h"
#include "functions/queues/queues.h"
#include "functions/uuid.h"
#include "storage/database.h"
#include "storage/group_commit.h"

namespace berth::functions::events {
namespace {

using namespace std::chrono_literals;
using storage::Database;

constexpr uint32_t kReadAhead = 64;
/// When the database refuses (a full disk), how long until it is asked again.
constexpr auto kDatabaseRetry = 1s;

/// The ARN by which the caller named the function.
std::string invoked_arn(const AsyncEvent& event) {
  std::string arn = function_arn(event.realm, event.function);
  if (!event.qualifier.empty()) arn += ":" + event.qualifier;
  return arn;
}

/// Name and qualifier of a function's ARN.
std::pair<std::string, std::string> function_of(const std::string& arn) {
  constexpr std::string_view mark = ":function:";
  size_t at = arn.find(mark);
  if (at == arn.npos) return {arn, ""};
  std::string name = arn.substr(at + mark.size());
  size_t colon = name.find(':');
  if (colon == name.npos) return {name, ""};
  return {name.substr(0, colon), name.substr(colon + 1)};
}

}  // namespace

/// One function's events: where reading stands, what has been read ahead, how many are at work.
struct EventQueue::LaneState {
  Lane lane;
  uint64_t events = 0;  ///< stored
  uint32_t at_work = 0;
  Place place;
  std::deque<std::shared_ptr<StoredEvent>> ready;
  io::Condition changed;  ///< events were added, or time has passed
  bool running = false;
};

/// How an event ended, and what there is to tell of it.
struct EventQueue::Attempted {
  Ending ending = Ending::Success;
  Addressee addressee;
  std::shared_ptr<const InvocationOutcome> outcome;  ///< null: the function was not reached
};

EventQueue::EventQueue(io::EventLoop& loop, storage::GroupCommit& commits, FindAddressee find,
                       Invoker& invoker, queues::Queues& queues, EventQueueOptions options,
                       const Clock& clock)
    : loop_(loop),
      commits_(commits),
      find_(std::move(find)),
      invoker_(invoker),
      queues_(queues),
      options_(options),
      clock_(clock) {}
EventQueue::~EventQueue() = default;

Result<std::unique_ptr<EventQueue>> EventQueue::open(io::EventLoop& loop, Database& database,
                                                     storage::GroupCommit& commits, FindAddressee find,
                                                     Invoker& invoker, queues::Queues& queues,
                                                     EventQueueOptions options, const Clock& clock) {
  CHECK(migrate_events(database));
  std::unique_ptr<EventQueue> queue(
      new EventQueue(loop, commits, std::move(find), invoker, queues, options, clock));
  TRY(auto lanes, stored_lanes(database));
  for (const LaneTotals& totals : lanes) queue->feed(totals.lane, totals.events, totals.bytes);
  return queue;
}

int64_t EventQueue::now_ms() const {
  latest_ms_ = std::max(latest_ms_, to_unix_nanoseconds(clock_.now()) / 1'000'000);
  return latest_ms_;
}

void EventQueue::feed(const Lane& lane, uint64_t events, uint64_t bytes) {
  stored_events_ += events;
  stored_bytes_ += bytes;
  auto& state = lanes_[lane];
  if (!state) {
    state = std::make_shared<LaneState>();
    state->lane = lane;
  }
  state->events += events;
  state->changed.notify_all();
  if (state->running || !started_) return;
  state->running = true;
  tasks_.spawn(run_lane(state));
}

void EventQueue::start() {
  if (started_) return;
  started_ = true;
  std::vector<Lane> waiting;
  for (const auto& [lane, state] : lanes_) waiting.push_back(lane);
  for (const Lane& lane : waiting) feed(lane, 0, 0);
}

void EventQueue::stop() {
  started_ = false;
  tasks_.destroy_all();
}

Result<EventQueue::Prepared> EventQueue::prepare(AsyncEvent event) const {
  if (stored_events_ >= options_.max_events || stored_bytes_ + event.payload.size() > options_.max_bytes) {
    return failure(
        Kind::Exhausted,
        "the queue of asynchronous events is full ({} events, {} bytes): wait until functions have "
        "worked some off, or remove the function that cannot",
        stored_events_, stored_bytes_);
  }
  if (event.request_id.empty()) event.request_id = random_uuid();
  return Prepared{std::move(event), now_ms()};
}

Result<void> EventQueue::insert_within(Database& database, const Prepared& prepared) {
  TRY([[maybe_unused]] int64_t id, insert_event(database, prepared.event, prepared.now_ms, prepared.now_ms));
  return {};
}

void EventQueue::take_over(const Prepared& prepared) {
  feed({prepared.event.realm, prepared.event.function}, 1, prepared.event.payload.size());
}

io::Task<Result<void>> EventQueue::enqueue(AsyncEvent event) {
  CO_TRY(Prepared made, prepare(std::move(event)));
  auto prepared = std::make_shared<const Prepared>(std::move(made));
  auto work = [prepared](Database& database) { return insert_within(database, *prepared); };
  CO_CHECK(co_await commits_.run(std::move(work)));
  take_over(*prepared);
  co_return Result<void>();
}

io::Task<Result<void>> EventQueue::forget(Realm realm, std::string function) {
  Lane lane{std::move(realm), std::move(function)};
  auto work = [lane](Database& database) { return delete_events_of(database, lane); };
  CO_CHECK(co_await commits_.run(std::move(work)));
  auto it = lanes_.find(lane);
  if (it == lanes_.end()) co_return Result<void>();
  LaneState& state = *it->second;
  // Those at work count themselves out when they end.
  uint64_t dropped = state.events - std::min<uint64_t>(state.events, state.at_work);
  state.ready.clear();
  state.events -= dropped;
  stored_events_ -= std::min(stored_events_, dropped);
  state.changed.notify_all();
  co_return Result<void>();
}

void EventQueue::look_again() {
  for (auto& [lane, state] : lanes_) state->changed.notify_all();
}

io::Task<void> EventQueue::run_lane(std::shared_ptr<LaneState> lane) {
  while (lane->events > 0) {
    if (lane->at_work >= options_.per_function || at_work_ >= options_.together) {
      co_await room_.wait();
      continue;
    }
    if (lane->ready.empty()) {
      bool more = co_await refill(lane);
      if (!more) continue;
    }
    auto event = std::move(lane->ready.front());
    lane->ready.pop_front();
    ++lane->at_work;
    ++at_work_;
    tasks_.spawn(process(lane, std::move(event)));
  }
  lane->running = false;
  auto it = lanes_.find(lane->lane);
  if (it != lanes_.end() && it->second == lane) lanes_.erase(it);
}

/// Reads what is due; if nothing is, waits until something may be. True: there is something ready.
io::Task<bool> EventQueue::refill(std::shared_ptr<LaneState> lane) {
  auto work = [what = lane->lane, place = lane->place, now = now_ms()](Database& database) {
    return due_events(database, what, place, now, kReadAhead);
  };
  auto due = co_await commits_.run(std::move(work));
  if (!due) {
    log::warn("asynchronous events of {}: {}", lane->lane.function, due.error().message());
    co_await loop_.sleep_for(kDatabaseRetry);
    co_return false;
  }
  for (StoredEvent& event : due->events) {
    lane->place = {event.due_ms, event.id};
    lane->ready.push_back(std::make_shared<StoredEvent>(std::move(event)));
  }
  if (lane->ready.empty() && lane->events > 0) co_await wait_for_due(lane, due->next_due_ms);
  co_return !lane->ready.empty();
}

io::Task<void> EventQueue::wait_for_due(std::shared_ptr<LaneState> lane, std::optional<int64_t> due_ms) {
  io::TaskGroup timer;
  auto ring = [](io::EventLoop& loop, std::chrono::milliseconds delay,
                 std::shared_ptr<LaneState> state) -> io::Task<void> {
    co_await loop.sleep_for(delay);
    state->changed.notify_all();
  };
  if (due_ms) {
    std::chrono::milliseconds delay(std::max<int64_t>(*due_ms - now_ms(), 1));
    timer.spawn(ring(loop_, delay, lane));
  }
  co_await lane->changed.wait();
}

io::Task<void> EventQueue::process(std::shared_ptr<LaneState> lane, std::shared_ptr<StoredEvent> event) {
  co_await attempt(lane, event);
  --lane->at_work;
  --at_work_;
  lane->changed.notify_all();
  room_.notify_all();
}

io::Task<void> EventQueue::attempt(std::shared_ptr<LaneState> lane, std::shared_ptr<StoredEvent> event) {
  const AsyncEvent& asked = event->event;
  auto addressee = find_(asked.realm, asked.function, asked.qualifier);
  if (!addressee) {
    co_await discard(event, addressee.error().message());
    gone(*lane, *event);
    co_return;
  }
  Attempted what{.addressee = std::move(*addressee)};
  const EventInvokeSettings settings = what.addressee.settings;
  if (too_old(event->progress, settings, now_ms())) {
    what.ending = Ending::EventAgeExceeded;
    co_await finish(event, std::move(what));
    gone(*lane, *event);
    co_return;
  }
  Invocation invocation{.function = what.addressee.version,
                        .invoked_arn = invoked_arn(asked),
                        .request_id = asked.request_id,
                        .payload = asked.payload,
                        .client_context = asked.client_context,
                        .tenant = asked.tenant,
                        .trace_header = asked.trace_header,
                        .source = asked.source};
  auto outcome = co_await invoker_.invoke(std::move(invocation));
  Attempt attempt = !outcome                           ? Attempt::TurnedAway
                    : !outcome->function_error.empty() ? Attempt::FunctionError
                                                       : Attempt::Success;
  if (!outcome) log::debug("event {}: {}", asked.request_id, outcome.error().message());
  Decision decision = decide(attempt, event->progress, settings, options_.delays, now_ms());
  event->progress = decision.progress;
  if (decision.again) {
    co_await reschedule(*event, decision);
    co_return;
  }
  what.ending = decision.ending;
  if (outcome) what.outcome = std::make_shared<const InvocationOutcome>(std::move(*outcome));
  co_await finish(event, std::move(what));
  gone(*lane, *event);
}

io::Task<void> EventQueue::reschedule(const StoredEvent& event, Decision decision) {
  while (true) {
    auto work = [id = event.id, decision](Database& database) {
      return reschedule_event(database, id, decision);
    };
    auto done = co_await commits_.run(work);
    if (done) co_return;
    log::warn("event {}: {}", event.event.request_id, done.error().message());
    co_await loop_.sleep_for(kDatabaseRetry);
  }
}

void EventQueue::gone(LaneState& lane, const StoredEvent& event) {
  lane.events -= std::min<uint64_t>(lane.events, 1);
  stored_events_ -= std::min<uint64_t>(stored_events_, 1);
  stored_bytes_ -= std::min<uint64_t>(stored_bytes_, event.event.payload.size());
}

io::Task<void> EventQueue::discard(std::shared_ptr<StoredEvent> event, std::string why) {
  log::info("event {} for {} is dropped: {}", event->event.request_id, event->event.function, why);
  Attempted nothing;
  bool done = false;
  while (!done) done = co_await hand_over(event, nothing);
}

io::Task<void> EventQueue::finish(std::shared_ptr<StoredEvent> event, Attempted what) {
  bool done = false;
  while (!done) done = co_await hand_over(event, what);
}

/// Removes the event and hands over what became of it, in one transaction. False: the database refused, try
/// again.
io::Task<bool> EventQueue::hand_over(std::shared_ptr<StoredEvent> event, Attempted what) {
  struct Delivery {
    std::vector<std::pair<std::shared_ptr<const queues::QueueRecord>, queues::NewMessage>> messages;
    std::vector<Prepared> events;
  };
  auto delivery = std::make_shared<Delivery>();
  auto to_queue = [&](const std::string& arn, queues::NewMessage message) {
    auto name = queues::parse_queue_arn(arn);
    auto queue =
        name ? queues_.find(*name) : Result<std::shared_ptr<const queues::QueueRecord>>(name.error());
    if (!queue) {
      log::warn("function {}: the outcome of event {} cannot be delivered to {}: {}", event->event.function,
                event->event.request_id, arn, queue.error().message());
      return;
    }
    if ((*queue)->settings.order == queues::Order::Fifo) {
      message.group_id = event->event.function;
      message.deduplication_id = event->event.request_id;
    }
    delivery->messages.emplace_back(*queue, std::move(message));
  };
  bool success = what.ending == Ending::Success;
  if (const FunctionVersionPtr& function = what.addressee.version) {
    const EventInvokeSettings& settings = what.addressee.settings;
    const std::string& arn = success ? settings.on_success : settings.on_failure;
    std::string document;
    if (!arn.empty())
      document = destination_document(*event, *function, what.ending, what.outcome.get(), now_ms());
    switch (arn.empty() ? DestinationKind::Unsupported : destination_kind(arn)) {
      case DestinationKind::Queue:
        to_queue(arn, {.body = document});
        break;
      case DestinationKind::Function: {
        auto [name, qualifier] = function_of(arn);
        auto next = prepare({.realm = event->event.realm,
                             .function = name,
                             .qualifier = qualifier,
                             .request_id = {},
                             .payload = document,
                             .trace_header = event->event.trace_header});
        if (next) delivery->events.push_back(std::move(*next));
        break;
      }
      case DestinationKind::Unsupported:
        if (!arn.empty()) log::warn("function {}: destination {} is not supported", function->name, arn);
        break;
    }
    if (!success && !settings.dead_letter_arn.empty())
      to_queue(settings.dead_letter_arn, dead_letter(*event, what.ending, what.outcome.get()));
  }
  auto work = [delivery, id = event->id, time = now_ms()](Database& database) -> Result<void> {
    for (const auto& [queue, message] : delivery->messages)
      CHECK(queues::Queues::insert_within(database, *queue, message, time));
    for (const Prepared& next : delivery->events) CHECK(insert_within(database, next));
    return delete_event(database, id);
  };
  auto done = co_await commits_.run(std::move(work));
  if (!done) {
    log::warn("event {}: {}", event->event.request_id, done.error().message());
    co_await loop_.sleep_for(kDatabaseRetry);
    co_return false;
  }
  for (const auto& [queue, message] : delivery->messages) queues_.notify(*queue);
  for (const Prepared& next : delivery->events) take_over(next);
  co_return true;
}

}  // namespace berth::functions::events
