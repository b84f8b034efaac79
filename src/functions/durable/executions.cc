#include "functions/durable/executions.h"

#include <algorithm>

#include "base/format.h"
#include "base/json.h"
#include "base/log.h"
#include "functions/catalog/names.h"
#include "functions/events/destinations.h"
#include "functions/queues/queues.h"
#include "storage/database.h"
#include "storage/group_commit.h"

namespace berth::functions::durable {
namespace {

using namespace std::chrono_literals;

/// When the database refuses (a full disk), how long until it is asked again.
constexpr auto kDatabaseRetry = 1s;
constexpr auto kThrottledRetry = 1s;
constexpr size_t kChainedTogether = 256;

std::string invoked_arn(const Execution& execution) {
  std::string arn = function_arn(execution.realm, execution.function);
  return arn + ":" + (execution.qualifier.empty() ? execution.version : execution.qualifier);
}

}  // namespace

template <class R>
struct DurableExecutions::Asked {
  std::optional<R> result;
  io::Event done;
};

DurableExecutions::DurableExecutions(io::EventLoop& loop, storage::GroupCommit& commits, FindFunction find,
                                     Invoker& invoker, queues::Queues& queues, DurableOptions options,
                                     const Clock& clock)
    : loop_(loop),
      commits_(commits),
      find_(std::move(find)),
      invoker_(invoker),
      queues_(queues),
      options_(options),
      limits_(durable_limits_of(options.profile)),
      clock_(clock),
      chained_room_(kChainedTogether) {}
DurableExecutions::~DurableExecutions() = default;

Result<std::unique_ptr<DurableExecutions>> DurableExecutions::open(
    io::EventLoop& loop, storage::Database& database, storage::GroupCommit& commits, FindFunction find,
    Invoker& invoker, queues::Queues& queues, DurableOptions options, const Clock& clock) {
  CHECK(migrate_executions(database));
  std::unique_ptr<DurableExecutions> all(
      new DurableExecutions(loop, commits, std::move(find), invoker, queues, options, clock));
  TRY(uint64_t again, recover_invocations(database, all->now_ms()));
  if (again > 0) log::info("durable executions: {} invocations under way are made again", again);
  TRY(all->totals_, totals(database));
  return all;
}

int64_t DurableExecutions::now_ms() const {
  latest_ms_ = std::max(latest_ms_, to_unix_nanoseconds(clock_.now()) / 1'000'000);
  return latest_ms_;
}

void DurableExecutions::start() {
  if (started_) return;
  started_ = true;
  tasks_.spawn(find_chained());
  tasks_.spawn(run());
}

void DurableExecutions::stop() {
  started_ = false;
  tasks_.destroy_all();
}

void DurableExecutions::poke() {
  ++turn_;
  changed_.notify_all();
}

/// The transaction is a task of its own: what it does is acted upon although the client that asked has gone.
template <class F>
auto DurableExecutions::transact(F work, bool poke) -> io::Task<std::invoke_result_t<F&, Work&>> {
  using R = std::invoke_result_t<F&, Work&>;
  auto asked = std::make_shared<Asked<R>>();
  transactions_.spawn(perform<F, R>(std::move(work), asked, poke));
  co_await asked->done.wait();
  co_return std::move(*asked->result);
}

template <class F, class R>
io::Task<void> DurableExecutions::perform(F work, std::shared_ptr<Asked<R>> asked, bool poke) {
  auto effects = std::make_shared<Effects>();
  auto job = [effects, work = std::move(work), now = now_ms(),
              limits = &limits_](Database& database) mutable {
    Work all(database, now, *limits);
    auto done = work(all);
    if (done) *effects = std::move(all.effects);
    return done;
  };
  auto done = co_await commits_.run(std::move(job));
  bool well = done.has_value();
  asked->result.emplace(std::move(done));
  asked->done.set();
  if (!well) co_return;
  act_on(std::move(*effects));
  if (poke) this->poke();
}

void DurableExecutions::act_on(Effects effects) {
  totals_.executions += static_cast<uint64_t>(effects.executions);
  totals_.bytes += static_cast<uint64_t>(effects.bytes);
  if (!effects.ended.empty()) letters_ = true;
  for (int64_t id : effects.ended) {
    if (auto waiter = waiters_->find(id); waiter != waiters_->end()) waiter->second->ended.notify_all();
  }
  if (!started_) return;  // the next daemon finds them
  for (Begun& begun : effects.begun) launch(std::move(begun));
  for (int64_t row : effects.chained) tasks_.spawn(call_chained(row));
}

io::Task<void> DurableExecutions::run() {
  while (true) {
    uint64_t turn = turn_;
    uint32_t room = options_.together - std::min(options_.together, at_work_);
    auto look = [room](Work& work) { return work.due(room); };
    auto due = co_await transact(look, false);
    if (!due) {
      log::warn("durable executions: {}", due.error().message());
      co_await loop_.sleep_for(kDatabaseRetry);
      continue;
    }
    if (letters_) {
      letters_ = false;
      co_await deliver_letters();
    }
    if (due->more || turn_ != turn) continue;
    co_await wait_until(due->next_ms);
  }
}

io::Task<void> DurableExecutions::wait_until(std::optional<int64_t> moment_ms) {
  io::TaskGroup timer;
  auto ring = [](io::EventLoop& loop, std::chrono::milliseconds delay,
                 io::Condition& changed) -> io::Task<void> {
    co_await loop.sleep_for(delay);
    changed.notify_all();
  };
  // A year and more fits; the clock of the wall may be set meanwhile, so it is looked at once an hour.
  if (moment_ms) {
    std::chrono::milliseconds delay(std::clamp<int64_t>(*moment_ms - now_ms(), 1, 3'600'000));
    timer.spawn(ring(loop_, delay, changed_));
  }
  co_await changed_.wait();
}

void DurableExecutions::launch(Begun begun) {
  ++at_work_;
  tasks_.spawn(call_handler(std::move(begun)));
}

io::Task<void> DurableExecutions::call_handler(Begun begun) {
  const Execution& execution = begun.execution;
  Finished how{.started_ms = execution.invoked_ms};
  auto function = find_(execution.realm, execution.function, execution.version);
  if (!function) {
    how.how = Finished::How::Gone;
    how.error = error_object(function.error().message(), "ResourceNotFoundException");
  } else {
    Invocation invocation{.function = *function,
                          .invoked_arn = invoked_arn(execution),
                          .payload = std::move(begun.event),
                          .trace_header = execution.trace,
                          .source = execution.source};
    auto outcome = co_await invoker_.invoke(std::move(invocation));
    if (!outcome) {
      // No sandbox now is no fault of the function's; one that can never be had is.
      Kind kind = outcome.error().kind();
      bool later = kind == Kind::Exhausted || kind == Kind::Unavailable || kind == Kind::Cancelled;
      how.how = later ? Finished::How::TurnedAway : Finished::How::FunctionError;
      how.error = error_object(outcome.error().message(), "ServiceException");
    } else {
      how.request_id = outcome->request_id;
      how.output = std::move(outcome->payload);
      if (!outcome->function_error.empty()) {
        how.how = Finished::How::FunctionError;
        how.error = error_of_function(how.output);
      }
    }
  }
  int64_t id = execution.id;
  std::string secret = execution.invoking;
  co_await end_invocation(id, std::move(secret), std::move(how));
  --at_work_;
  poke();
}

io::Task<void> DurableExecutions::end_invocation(int64_t id, std::string secret, Finished how) {
  auto shared = std::make_shared<const Finished>(std::move(how));
  while (true) {
    auto work = [id, secret, shared](Work& all) { return all.finish(id, secret, *shared); };
    auto done = co_await transact(std::move(work));
    if (done) co_return;
    log::warn("durable execution {}: {}", id, done.error().message());
    co_await loop_.sleep_for(kDatabaseRetry);
  }
}

io::Task<void> DurableExecutions::find_chained() {
  while (true) {
    auto rows = co_await commits_.run([](Database& database) { return chained_invokes(database); });
    if (rows) {
      for (int64_t row : *rows) tasks_.spawn(call_chained(row));
      co_return;
    }
    log::warn("durable executions: {}", rows.error().message());
    co_await loop_.sleep_for(kDatabaseRetry);
  }
}

io::Task<void> DurableExecutions::call_chained(int64_t row) {
  io::Semaphore::Permit permit = co_await chained_room_.acquire();
  struct Found {
    std::optional<Operation> operation;
    std::optional<Execution> execution;
  };
  auto look = [row](Database& database) -> Result<Found> {
    Found found;
    TRY(found.operation, operation_of_row(database, row));
    TRY(found.execution, execution_of_row(database, row));
    return found;
  };
  auto found = co_await commits_.run(look);
  if (!found || !found->operation || !found->execution) co_return;
  auto operation = std::make_shared<const Operation>(std::move(*found->operation));
  auto execution = std::make_shared<const Execution>(std::move(*found->execution));
  if (is_terminal(operation->status) || is_terminal(execution->status)) co_return;
  auto outcome = std::make_shared<const OperationOutcome>(co_await outcome_of_chained(operation, execution));
  while (true) {
    auto work = [row, outcome](Work& all) { return all.chained_ended(row, *outcome); };
    auto done = co_await transact(std::move(work));
    if (done) co_return;
    log::warn("chained invoke of {}: {}", operation->chained_function, done.error().message());
    co_await loop_.sleep_for(kDatabaseRetry);
  }
}

io::Task<OperationOutcome> DurableExecutions::outcome_of_chained(std::shared_ptr<const Operation> operation,
                                                                 std::shared_ptr<const Execution> execution) {
  auto failed = [](std::string error) {
    return OperationOutcome{.status = OperationStatus::Failed, .error = std::move(error)};
  };
  std::string input = operation->result.value_or("{}");
  if (!Json::accept(input))
    co_return failed(error_object("Could not parse payload into json", "InvalidRequestContentException"));
  auto reference = parse_function_reference(operation->chained_function, execution->realm);
  if (!reference) co_return failed(error_object(reference.error().message(), "ValidationException"));
  while (true) {
    auto function = find_(reference->realm, reference->name, reference->qualifier);
    if (!function) co_return failed(error_object(function.error().message(), "ResourceNotFoundException"));
    Invocation invocation{.function = *function,
                          .invoked_arn = function_arn(reference->realm, reference->name),
                          .payload = input,
                          .trace_header = execution->trace,
                          .source = InvocationSource::Async};
    if (!reference->qualifier.empty()) invocation.invoked_arn += ":" + reference->qualifier;
    auto outcome = co_await invoker_.invoke(std::move(invocation));
    if (!outcome && outcome.error().kind() != Kind::Exhausted)
      co_return failed(error_object(outcome.error().message(), "ServiceException"));
    if (!outcome) {
      co_await loop_.sleep_for(kThrottledRetry);
      continue;
    }
    if (!outcome->function_error.empty()) co_return failed(error_of_function(outcome->payload));
    if (outcome->payload.size() > limits_.operation_bytes) {
      std::string words = "CHAINED_INVOKE output payload size must be less than or equal to " +
                          std::to_string(limits_.operation_bytes) + " bytes.";
      co_return failed(error_object(words));
    }
    co_return OperationOutcome{.result = std::move(outcome->payload)};
  }
}

io::Task<void> DurableExecutions::deliver_letters() {
  struct Letter {
    Execution execution;
    std::string input;
  };
  auto look = [](Database& database) -> Result<std::vector<Letter>> {
    std::vector<Letter> letters;
    TRY(auto ids, owed_letters(database));
    for (int64_t id : ids) {
      TRY(auto execution, read_execution(database, id));
      TRY(std::string input, read_input(database, id));
      if (execution) letters.push_back({std::move(*execution), std::move(input)});
    }
    return letters;
  };
  auto letters = co_await commits_.run(look);
  if (!letters) {
    letters_ = true;
    co_return;
  }
  for (Letter& letter : *letters) {
    const Execution& execution = letter.execution;
    events::StoredEvent event;
    event.event.request_id = execution.invocation;
    event.event.payload = std::move(letter.input);
    InvocationOutcome outcome{.payload = error_for_client(execution.error), .function_error = "Unhandled"};
    auto message = events::dead_letter(event, events::Ending::RetriesExhausted, &outcome);
    auto name = queues::parse_queue_arn(execution.dead_letter_arn);
    auto queue =
        name ? queues_.find(*name) : Result<std::shared_ptr<const queues::QueueRecord>>(name.error());
    if (!queue) {
      log::warn("durable execution {}: its event cannot be delivered to {}: {}", execution.name,
                execution.dead_letter_arn, queue.error().message());
    } else if ((*queue)->settings.order == queues::Order::Fifo) {
      message.group_id = execution.function;
      message.deduplication_id = execution.invocation;
    }
    std::shared_ptr<const queues::QueueRecord> record = queue ? *queue : nullptr;
    auto deliver = [record, message, id = execution.id, now = now_ms()](Database& database) -> Result<void> {
      TRY(auto row, read_execution(database, id));
      if (!row || !row->letter_owed) return {};
      if (record != nullptr) CHECK(queues::Queues::insert_within(database, *record, message, now));
      row->letter_owed = false;
      return update_execution(database, *row);
    };
    auto done = co_await commits_.run(std::move(deliver));
    if (!done) {
      log::warn("durable execution {}: {}", execution.name, done.error().message());
      letters_ = true;
    } else if (record != nullptr) {
      queues_.notify(*record);
    }
  }
  if (letters->size() >= 10) letters_ = true;
}

// What is asked from outside.

io::Task<Result<Started>> DurableExecutions::start_execution(NewExecution asked) {
  if (totals_.executions >= options_.max_executions ||
      totals_.bytes + asked.input.size() > options_.max_bytes) {
    co_return failure(
        Kind::Exhausted,
        "there are too many durable executions ({}, {} bytes): delete some that are over, or shorten "
        "RetentionPeriodInDays",
        totals_.executions, totals_.bytes);
  }
  bool now = started_ && at_work_ < options_.together;
  auto shared = std::make_shared<const NewExecution>(std::move(asked));
  auto work = [shared, now](Work& all) { return all.start(*shared, now); };
  co_return co_await transact(std::move(work));
}

io::Task<Result<ExecutionState>> DurableExecutions::wait_for(int64_t id) {
  auto& held = (*waiters_)[id];
  if (!held) held = std::make_shared<Waiter>();
  std::shared_ptr<Waiter> waiter = held;
  ++waiter->waiting;
  /// Also when the client goes while it waits.
  struct Leave {
    std::shared_ptr<Waiters> all;
    int64_t id;
    std::shared_ptr<Waiter> waiter;
    ~Leave() {
      if (--waiter->waiting == 0) all->erase(id);
    }
  } leave{waiters_, id, waiter};
  while (true) {
    auto look = [id](Database& database) -> Result<ExecutionState> {
      TRY(auto execution, read_execution(database, id));
      if (!execution) return failure(Kind::NotFound, "Durable Execution does not exist");
      ExecutionState state{.execution = std::move(*execution), .input = {}, .result = {}};
      TRY(state.result, read_result(database, id));
      return state;
    };
    auto state = co_await commits_.run(look);
    if (!state || is_terminal(state->execution.status)) co_return state;
    co_await waiter->ended.wait();
  }
}

io::Task<Result<Checkpointed>> DurableExecutions::checkpoint(CheckpointRequest request) {
  for (const OperationUpdate& update : request.updates) {
    if (update.type != OperationType::ChainedInvoke || update.action != OperationAction::Start) continue;
    if (update.chained_function.empty()) continue;
    CO_TRY(request.targets[update.id], target_of(request.arn, update));
  }
  auto shared = std::make_shared<const CheckpointRequest>(std::move(request));
  auto work = [shared](Work& all) { return all.checkpoint(*shared); };
  co_return co_await transact(std::move(work));
}

Result<ChainedTarget> DurableExecutions::target_of(const ExecutionArn& caller,
                                                   const OperationUpdate& update) const {
  auto reference = parse_function_reference(update.chained_function, caller.realm);
  if (!reference)
    return failure(Kind::InvalidArgument, "Invalid function ARN '{}'",
                   update.chained_function.substr(0, 256));
  if (reference->realm.account != caller.realm.account)
    return failure(Kind::InvalidArgument, "Cannot start a CHAINED_INVOKE on a function in another account.");
  if (reference->realm.region != caller.realm.region)
    return failure(Kind::InvalidArgument, "Cannot start a CHAINED_INVOKE on a function in another region.");
  auto function = find_(reference->realm, reference->name, reference->qualifier);
  if (!function)
    return ChainedTarget{.error = error_object(function.error().message(), "ResourceNotFoundException")};
  ChainedTarget target{.version = (*function)->version,
                       .child = new_execution_of(**function, reference->qualifier)};
  if (!target.child) return target;
  if (reference->qualifier.empty() && options_.profile == LimitProfile::Strict) {
    return ChainedTarget{.error =
                             error_object("You cannot invoke a durable function using an unqualified ARN.",
                                          "InvalidParameterValueException")};
  }
  target.child->source = InvocationSource::Async;
  return target;
}

io::Task<Result<StatePage>> DurableExecutions::state(ExecutionArn arn, std::string token, int64_t beyond,
                                                     uint32_t limit) {
  auto work = [arn, token, beyond, limit](Work& all) { return all.state(arn, token, beyond, limit); };
  co_return co_await transact(std::move(work), false);
}

io::Task<Result<ExecutionState>> DurableExecutions::describe(ExecutionArn arn, bool with_data) {
  auto look = [arn, with_data](Database& database) -> Result<ExecutionState> {
    TRY(auto execution, find_execution(database, arn));
    if (!execution) return failure(Kind::NotFound, "Durable Execution does not exist");
    ExecutionState state{.execution = std::move(*execution), .input = {}, .result = {}};
    if (!with_data) return state;
    TRY(state.input, read_input(database, state.execution.id));
    TRY(state.result, read_result(database, state.execution.id));
    return state;
  };
  co_return co_await commits_.run(std::move(look));
}

io::Task<Result<EventPage>> DurableExecutions::history(ExecutionArn arn, int64_t beyond, bool newest_first,
                                                       uint32_t limit) {
  auto look = [=](Database& database) -> Result<EventPage> {
    TRY(auto execution, find_execution(database, arn));
    if (!execution) return failure(Kind::NotFound, "Durable Execution does not exist");
    return events_page(database, execution->id, beyond, newest_first, limit);
  };
  co_return co_await commits_.run(std::move(look));
}

io::Task<Result<std::vector<Execution>>> DurableExecutions::list(ExecutionFilter filter, uint32_t limit) {
  auto look = [filter, limit](Database& database) { return list_executions(database, filter, limit); };
  co_return co_await commits_.run(std::move(look));
}

io::Task<Result<void>> DurableExecutions::complete_callback(std::string callback_id,
                                                            OperationOutcome outcome) {
  auto shared = std::make_shared<const OperationOutcome>(std::move(outcome));
  auto work = [callback_id, shared](Work& all) { return all.complete_callback(callback_id, *shared); };
  co_return co_await transact(std::move(work));
}

io::Task<Result<void>> DurableExecutions::heartbeat(std::string callback_id) {
  auto work = [callback_id](Work& all) { return all.heartbeat(callback_id); };
  co_return co_await transact(std::move(work));
}

io::Task<Result<int64_t>> DurableExecutions::stop_execution(ExecutionArn arn, std::string error) {
  auto work = [arn, error](Work& all) { return all.stop(arn, error); };
  co_return co_await transact(std::move(work));
}

io::Task<Result<void>> DurableExecutions::pause(PauseRequest request) {
  auto work = [request](Work& all) { return all.pause(request); };
  co_return co_await transact(std::move(work));
}

io::Task<Result<void>> DurableExecutions::resume(ExecutionArn arn, std::string client_token,
                                                 std::string reason) {
  auto work = [=](Work& all) { return all.resume(arn, client_token, reason); };
  co_return co_await transact(std::move(work));
}

io::Task<Result<int64_t>> DurableExecutions::remove(ExecutionArn arn) {
  auto work = [arn](Work& all) { return all.remove(arn); };
  CO_CHECK(co_await transact(std::move(work)));
  co_return now_ms();
}

io::Task<Result<void>> DurableExecutions::function_removed(Realm realm, std::string function) {
  auto work = [realm, function](Work& all) { return all.function_removed(realm, function); };
  co_return co_await transact(std::move(work));
}

}  // namespace berth::functions::durable
