// Work: what happens to durable executions, each as one transaction on the database. It is all that knows
// what a change means; the loop thread (executions.h) asks for it and acts on its effects. Called on a worker
// thread, inside a transaction: when it returns an error, nothing of it has happened.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "functions/durable/limits.h"
#include "functions/durable/store.h"
#include "functions/durable/wire.h"

namespace berth::functions::durable {

struct NewExecution {
  Realm realm;
  std::string function, version, qualifier;
  std::string name = {};  ///< empty: one is made
  std::string input;
  InvocationSource source = InvocationSource::Sync;
  std::string trace = {}, dead_letter_arn = {};
  DurableConfig config;
  int64_t parent = 0;
  std::string parent_operation = {};
};

/// An invocation of the handler that has been begun.
struct Begun {
  Execution execution;
  std::string event;  ///< JSON that the handler gets
};

/// What a transaction leaves for the loop thread to do.
struct Effects {
  std::vector<Begun> begun;      ///< handlers to call
  std::vector<int64_t> ended;    ///< executions
  std::vector<int64_t> chained;  ///< rows of chained invokes whose functions are to be called
  int64_t executions = 0;        ///< how many more there are
  int64_t bytes = 0;             ///< how much more is kept
};

struct Started {
  enum class How { New, Existing, Differs } how = How::New;
  int64_t id = 0;
  std::string arn;
};

/// How an invocation of the handler ended.
struct Finished {
  enum class How {
    Answered,       ///< `output` is what it returned
    FunctionError,  ///< it failed as functions do: once more, some times
    TurnedAway,     ///< no sandbox could be had: later
    Gone            ///< there is no such function any more
  } how = How::Answered;
  std::string request_id = {};
  int64_t started_ms = 0;
  std::string output = {};
  std::string error = {};  ///< JSON of an ErrorObject
};

/// What a chained invoke leads to, found out before the transaction.
struct ChainedTarget {
  std::string error = {};  ///< JSON of an ErrorObject: it cannot be called
  std::string version = {};
  std::optional<NewExecution> child = {};  ///< a durable function's; else the function is called as any other
};

struct CheckpointRequest {
  ExecutionArn arn;
  std::string token, client_token;
  std::vector<OperationUpdate> updates;
  std::map<std::string, ChainedTarget> targets;  ///< by the operation's id
};
struct Checkpointed {
  std::string token;  ///< empty: the invocation is to stop, since the execution pauses
  std::vector<Operation> changed;
};

struct StatePage {
  std::optional<Execution> execution;  ///< on the first page
  std::string input;
  OperationPage page;
};

/// What became of a callback or a chained invoke.
struct OperationOutcome {
  OperationStatus status = OperationStatus::Succeeded;
  std::optional<std::string> result = {};
  std::string error = {};
};

struct Due {
  std::optional<int64_t> next_ms;  ///< when to look again at the latest
  bool more = false;               ///< there was more than fits into one transaction
};

struct PauseRequest {
  ExecutionArn arn;
  std::string client_token, reason;
  bool stops_timeout = true;
};

class Work {
 public:
  Work(Database& database, int64_t now_ms, const DurableLimits& limits)
      : database_(database), now_ms_(now_ms), limits_(limits) {}
  Effects effects;

  // Life.
  /// `begin`: its handler is called at once.
  Result<Started> start(const NewExecution& asked, bool begin);
  /// Unless nothing is to be called now.
  Result<void> begin(int64_t id);
  Result<void> finish(int64_t id, const std::string& secret, const Finished& how);
  /// Rings timers, ends what is out of time, forgets what is old, and begins at most `room` invocations.
  Result<Due> due(uint32_t room);
  /// The function is gone: what runs fails, and the names are free again.
  Result<void> function_removed(const Realm& realm, const std::string& function);
  Result<void> chained_ended(int64_t row, const OperationOutcome& outcome);

  // The handler's calls. InvalidArgument: unknown execution, stale or forged token, an update that does not
  // fit.
  Result<Checkpointed> checkpoint(const CheckpointRequest& request);
  Result<StatePage> state(const ExecutionArn& arn, const std::string& token, int64_t beyond, uint32_t limit);

  // Others' calls. NotFound: there is none. DeadlineExceeded: the callback is over.
  Result<void> complete_callback(const std::string& callback_id, const OperationOutcome& outcome);
  Result<void> heartbeat(const std::string& callback_id);
  /// When it was stopped. InvalidArgument: it is over.
  Result<int64_t> stop(const ExecutionArn& arn, const std::string& error);
  /// WrongState: it is over, or paused already.
  Result<void> pause(const PauseRequest& request);
  Result<void> resume(const ExecutionArn& arn, const std::string& client_token, const std::string& reason);
  /// WrongState: it is not over.
  Result<void> remove(const ExecutionArn& arn);

 private:
  void keep(Execution& execution, uint64_t bytes);
  Result<Execution> existing(const ExecutionArn& arn);
  Result<Execution> handlers(const ExecutionArn& arn, const std::string& token);
  Result<void> forget(const Execution& execution);
  Result<void> record(Execution& execution, HistoryEvent event);
  Result<void> put(Execution& execution, Operation& operation);
  Result<void> end(Execution& execution, ExecutionStatus status, const std::optional<std::string>& result,
                   std::string error);
  Result<void> complete(Execution& execution, Operation& operation, const OperationOutcome& outcome);
  void wake(Execution& execution, int64_t at_ms);
  Result<void> tell_parent(const Execution& child, const std::optional<std::string>& result);
  Result<void> ring(Execution& execution, Operation& operation);
  Result<void> take_update(Execution& execution, const CheckpointRequest& request,
                           const OperationUpdate& update);
  Result<void> take_chained(Execution& execution, const ChainedTarget& target, const OperationUpdate& update);
  Result<void> check_parent(const Execution& execution, const OperationUpdate& update);
  Result<void> take_output(Execution& execution, const Finished& how);
  Result<void> try_again(Execution& execution, const std::string& error, uint32_t most);
  Result<std::string> event_of(const Execution& execution, int64_t seen_before);
  Result<CallbackPlace> open_callback(const std::string& callback_id, Execution& execution);

  Database& database_;
  int64_t now_ms_;
  const DurableLimits& limits_;
};

}  // namespace berth::functions::durable
