// DurableExecutions: executions of durable functions, from the loop thread's side. The database is the one
// place where they are: an execution that waits takes no memory and no sandbox here, only its row. What is in
// memory are the invocations under way, the clients that wait, and one timer for the next moment at which
// anything is due. A killed daemon's successor goes on from the rows. Loop thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "base/clock.h"
#include "functions/durable/work.h"
#include "functions/invocation.h"
#include "io/event_loop.h"
#include "io/sync.h"
#include "io/task_group.h"

namespace berth::storage {
class GroupCommit;
}
namespace berth::functions::queues {
class Queues;
}

namespace berth::functions::durable {

/// A function as it is now. NotFound: it is gone.
using FindFunction = std::function<Result<FunctionVersionPtr>(const Realm& realm, const std::string& function,
                                                              const std::string& qualifier)>;

struct DurableOptions {
  LimitProfile profile = LimitProfile::Open;
  uint64_t max_executions = 5'000'000;  ///< kept at once, those that are over included
  uint64_t max_bytes = 64ull << 30;
  uint32_t together = 256;  ///< invocations of handlers at once; the invoker's limits hold too
};

/// How an execution stands.
struct ExecutionState {
  Execution execution;
  std::string input;                  ///< if asked for
  std::optional<std::string> result;  ///< if asked for, of one that succeeded
};

class DurableExecutions {
 public:
  /// Makes the tables and finds out what an earlier daemon left. Nothing is called before start(). All that
  /// is passed must outlive it.
  static Result<std::unique_ptr<DurableExecutions>> open(io::EventLoop& loop, storage::Database& database,
                                                         storage::GroupCommit& commits, FindFunction find,
                                                         Invoker& invoker, queues::Queues& queues,
                                                         DurableOptions options = {},
                                                         const Clock& clock = Clock::system());
  ~DurableExecutions();

  void start();
  /// Invocations under way are let go; the next daemon makes them again.
  void stop();
  const DurableLimits& limits() const { return limits_; }

  /// Starts one, or finds the one of the same name. On the disk when it returns. Exhausted: there are too
  /// many.
  io::Task<Result<Started>> start_execution(NewExecution asked);
  /// Returns when it is over, with its result.
  io::Task<Result<ExecutionState>> wait_for(int64_t id);

  // The API's operations; see work.h for their errors.
  io::Task<Result<Checkpointed>> checkpoint(CheckpointRequest request);
  io::Task<Result<StatePage>> state(ExecutionArn arn, std::string token, int64_t beyond, uint32_t limit);
  io::Task<Result<ExecutionState>> describe(ExecutionArn arn, bool with_data);
  io::Task<Result<EventPage>> history(ExecutionArn arn, int64_t beyond, bool newest_first, uint32_t limit);
  io::Task<Result<std::vector<Execution>>> list(ExecutionFilter filter, uint32_t limit);
  io::Task<Result<void>> complete_callback(std::string callback_id, OperationOutcome outcome);
  io::Task<Result<void>> heartbeat(std::string callback_id);
  io::Task<Result<int64_t>> stop_execution(ExecutionArn arn, std::string error);
  io::Task<Result<void>> pause(PauseRequest request);
  io::Task<Result<void>> resume(ExecutionArn arn, std::string client_token, std::string reason);
  io::Task<Result<int64_t>> remove(ExecutionArn arn);

  /// A function is gone: what runs of it fails.
  io::Task<Result<void>> function_removed(Realm realm, std::string function);
  /// Looks again whether something is due: for clocks that are moved by hand.
  void look_again() { changed_.notify_all(); }
  /// Executions that there are, those that are over included; invocations of handlers under way.
  uint64_t size() const { return totals_.executions; }
  uint32_t at_work() const { return at_work_; }

 private:
  DurableExecutions(io::EventLoop& loop, storage::GroupCommit& commits, FindFunction find, Invoker& invoker,
                    queues::Queues& queues, DurableOptions options, const Clock& clock);
  template <class R>
  struct Asked;
  template <class F>
  auto transact(F work, bool poke = true) -> io::Task<std::invoke_result_t<F&, Work&>>;
  template <class F, class R>
  io::Task<void> perform(F work, std::shared_ptr<Asked<R>> asked, bool poke);
  int64_t now_ms() const;
  void poke();
  void act_on(Effects effects);
  io::Task<void> run();
  io::Task<void> wait_until(std::optional<int64_t> moment_ms);
  void launch(Begun begun);
  io::Task<void> call_handler(Begun begun);
  io::Task<void> end_invocation(int64_t id, std::string secret, Finished how);
  io::Task<void> call_chained(int64_t row);
  io::Task<OperationOutcome> outcome_of_chained(std::shared_ptr<const Operation> operation,
                                                std::shared_ptr<const Execution> execution);
  io::Task<void> find_chained();
  io::Task<void> deliver_letters();
  Result<ChainedTarget> target_of(const ExecutionArn& caller, const OperationUpdate& update) const;

  io::EventLoop& loop_;
  storage::GroupCommit& commits_;
  FindFunction find_;
  Invoker& invoker_;
  queues::Queues& queues_;
  DurableOptions options_;
  const DurableLimits& limits_;
  const Clock& clock_;
  mutable int64_t latest_ms_ = 0;
  Totals totals_;
  uint32_t at_work_ = 0;
  bool started_ = false;
  bool letters_ = true;  ///< there may be events that belong into dead-letter queues
  uint64_t turn_ = 0;    ///< counts what may have made something due
  io::Condition changed_;
  io::Semaphore chained_room_;
  struct Waiter {
    io::Condition ended;
    size_t waiting = 0;
  };
  /// By execution. Those who wait may outlive this object by a little.
  using Waiters = std::map<int64_t, std::shared_ptr<Waiter>>;
  std::shared_ptr<Waiters> waiters_ = std::make_shared<Waiters>();
  io::TaskGroup transactions_;  ///< they end although whoever asked for them has gone
  io::TaskGroup tasks_;
};

/// What a version needs to be started as: NewExecution without name and input. nullopt: it is not durable.
std::optional<NewExecution> new_execution_of(const FunctionVersion& version, std::string qualifier);

}  // namespace berth::functions::durable
