// Durable executions on a clock that is moved by hand, with a handler that does as told.
#include "functions/durable/executions.h"

#include <gtest/gtest.h>

#include "base/json.h"
#include "functions/durable/durable_invoker.h"
#include "functions/testing.h"
#include "storage/database.h"

namespace berth::functions::durable {
namespace {

constexpr int64_t kDay = 86'400'000;

class FakeInvoker final : public Invoker {
 public:
  io::Task<Result<InvocationOutcome>> invoke(Invocation invocation) override {
    events.push_back(*parse_json(invocation.payload));
    if (throttles > 0 && throttles-- > 0) co_return Error(Kind::Exhausted, "Rate Exceeded.");
    if (hold) co_await release.wait();
    InvocationOutcome outcome{.request_id = "r", .executed_version = "1"};
    outcome.payload = answer;
    if (fails) outcome.function_error = "Unhandled";
    co_return outcome;
  }
  Throttle last_throttle() const override { return Throttle::Concurrency; }
  void function_changed(const Realm&, const std::string&, FunctionVersionPtr) override {}
  void set_concurrency(const Realm&, const std::string&, ConcurrencySettings) override {}
  Provisioned provisioned(const Realm&, const std::string&, const std::string&) const override { return {}; }

  std::vector<Json> events;
  std::string answer = R"({"Status":"PENDING"})";
  bool fails = false, hold = false;
  int throttles = 0;
  io::Event release;
};

class ExecutionsTest : public testing::Test, public QueueDatabase {
 protected:
  ExecutionsTest() { open_executions(); }
  ~ExecutionsTest() override { executions.reset(); }
  void open_executions() {
    auto find = [this](const Realm& realm, const std::string& function, const std::string&) {
      auto version = std::make_shared<FunctionVersion>();
      version->realm = realm;
      version->name = function;
      version->version = "1";
      if (function != "plain") version->kept_members["DurableConfig"] = R"({"ExecutionTimeout":864000})";
      return gone ? Result<FunctionVersionPtr>(Error(Kind::NotFound, "Function not found"))
                  : Result<FunctionVersionPtr>(version);
    };
    executions = *DurableExecutions::open(loop, *database, *commits, find, invoker, *queues, options, clock);
    executions->start();
  }
  /// As a killed daemon and its successor.
  void reopen() {
    executions.reset();
    QueueDatabase::close();
    QueueDatabase::open();
    open_executions();
    settle();
  }
  Started start(std::string name = {}, std::string input = "{}") {
    NewExecution asked{.function = "f", .version = "1", .name = std::move(name), .input = std::move(input)};
    asked.config = {.timeout_seconds = 864'000, .retention_days = 2};
    asked.source = source;
    asked.dead_letter_arn = "arn:aws:sqs:us-east-1:000000000000:dead";
    Started started = *loop.run_until_complete(executions->start_execution(std::move(asked)));
    settle();
    return started;
  }
  void advance(int64_t ms) {
    clock.ms += ms;
    executions->look_again();
    settle();
  }
  ExecutionArn arn(const Started& started) { return *parse_execution_arn(started.arn); }
  Execution state(const Started& started) {
    return loop.run_until_complete(executions->describe(arn(started), true))->execution;
  }
  std::string token() { return invoker.events.back()["CheckpointToken"]; }
  Result<Checkpointed> checkpoint(const Started& started, std::vector<OperationUpdate> updates) {
    CheckpointRequest request{.arn = arn(started), .token = token(), .updates = std::move(updates)};
    return loop.run_until_complete(executions->checkpoint(std::move(request)));
  }
  /// Lets the handler that is held end with this answer.
  void finish(std::string answer) {
    invoker.answer = std::move(answer);
    invoker.release.set();
    settle();
    invoker.release.reset();
  }
  std::vector<std::string> history(const Started& started) {
    std::vector<std::string> types;
    auto page = loop.run_until_complete(executions->history(arn(started), 0, false, 1000));
    for (const auto& event : page->events) types.push_back(event.type);
    return types;
  }

  FakeInvoker invoker;
  DurableOptions options;
  InvocationSource source = InvocationSource::Sync;
  bool gone = false;
  std::unique_ptr<DurableExecutions> executions;
};

TEST_F(ExecutionsTest, AWaitOfDaysTakesNothingAndOutlivesTheDaemon) {
  invoker.hold = true;
  Started started = start();
  ASSERT_EQ(invoker.events.size(), 1u);
  ASSERT_TRUE(checkpoint(started, {{.id = "w",
                                    .type = OperationType::Wait,
                                    .action = OperationAction::Start,
                                    .wait_seconds = 5 * 86'400}}));
  finish(R"({"Status":"PENDING"})");
  EXPECT_EQ(executions->at_work(), 0u);
  advance(4 * kDay);
  EXPECT_EQ(invoker.events.size(), 1u);
  reopen();
  EXPECT_EQ(invoker.events.size(), 1u);
  advance(kDay + 1);
  ASSERT_EQ(invoker.events.size(), 2u);
  const Json& operations = invoker.events[1]["InitialExecutionState"]["Operations"];
  EXPECT_EQ(operations[1]["Status"], "SUCCEEDED");
  EXPECT_EQ(invoker.events[1]["UpdatedOperationIds"], Json::array({"w"}));
  finish(R"({"Status":"SUCCEEDED","Result":"7"})");
  EXPECT_EQ(state(started).status, ExecutionStatus::Succeeded);
}

TEST_F(ExecutionsTest, AnExecutionTimesOutAndIsForgottenAfterItsRetention) {
  Started started = start();
  ASSERT_TRUE(loop.run_until_complete(executions->stop_execution(arn(started), {})));
  Started late = start();
  invoker.hold = true;
  Started waiting = start();
  ASSERT_TRUE(checkpoint(waiting, {{.id = "c", .type = OperationType::Callback}}));
  finish(R"({"Status":"PENDING"})");
  advance(10 * kDay + 1);
  EXPECT_EQ(state(waiting).status, ExecutionStatus::TimedOut);
  EXPECT_FALSE(loop.run_until_complete(executions->describe(arn(started), false)));
  advance(2 * kDay + 1);
  EXPECT_EQ(executions->size(), 0u);
  EXPECT_EQ(loop.run_until_complete(executions->describe(arn(waiting), false)).error().kind(),
            Kind::NotFound);
}

TEST_F(ExecutionsTest, AnInvocationUnderWayIsMadeAgainByTheNextDaemon) {
  invoker.hold = true;
  Started started = start();
  ASSERT_TRUE(checkpoint(started, {{.id = "s", .action = OperationAction::Succeed, .payload = "1"}}));
  std::string old = token();
  reopen();
  ASSERT_EQ(invoker.events.size(), 2u);
  EXPECT_EQ(invoker.events[1]["InitialExecutionState"]["Operations"][1]["StepDetails"]["Result"], "1");
  CheckpointRequest request{.arn = arn(started), .token = old};
  EXPECT_FALSE(loop.run_until_complete(executions->checkpoint(std::move(request))));
  finish(R"({"Status":"SUCCEEDED"})");
  EXPECT_EQ(state(started).status, ExecutionStatus::Succeeded);
}

TEST_F(ExecutionsTest, ARetryComesWhenItIsDue) {
  invoker.hold = true;
  Started started = start();
  std::string error = error_object("no", "E");
  ASSERT_TRUE(checkpoint(
      started, {{.id = "s", .action = OperationAction::Start},
                {.id = "s", .action = OperationAction::Retry, .error = error, .retry_delay_seconds = 3600}}));
  finish(R"({"Status":"PENDING"})");
  advance(3'599'000);
  EXPECT_EQ(invoker.events.size(), 1u);
  advance(1'000);
  ASSERT_EQ(invoker.events.size(), 2u);
  const Json& step = invoker.events[1]["InitialExecutionState"]["Operations"][1];
  EXPECT_EQ(step["Status"], "READY");
  EXPECT_EQ(step["StepDetails"]["Attempt"], 1);
  EXPECT_EQ(step["StepDetails"]["Error"]["ErrorMessage"], "no");
}

TEST_F(ExecutionsTest, AHeartbeatKeepsACallbackAlive) {
  invoker.hold = true;
  Started started = start();
  auto done = checkpoint(started, {{.id = "c",
                                    .type = OperationType::Callback,
                                    .callback_timeout_seconds = 250,
                                    .heartbeat_timeout_seconds = 100}});
  ASSERT_TRUE(done);
  std::string id = done->changed[0].callback_id;
  finish(R"({"Status":"PENDING"})");
  advance(99'000);
  ASSERT_TRUE(loop.run_until_complete(executions->heartbeat(id)));
  advance(99'000);
  EXPECT_EQ(invoker.events.size(), 1u);
  ASSERT_TRUE(loop.run_until_complete(executions->heartbeat(id)));
  advance(52'001);  // its own timeout, whatever beats
  ASSERT_EQ(invoker.events.size(), 2u);
  const Json& callback = invoker.events[1]["InitialExecutionState"]["Operations"][1];
  EXPECT_EQ(callback["Status"], "TIMED_OUT");
  EXPECT_EQ(callback["CallbackDetails"]["Error"]["ErrorType"], "Callback.Timeout");
}

TEST_F(ExecutionsTest, WhoFailsIsCalledFiveTimesAndItsEventBecomesADeadLetter) {
  ASSERT_TRUE(loop.run_until_complete(queues->create({}, "dead", {}, {})));
  source = InvocationSource::Async;
  invoker.fails = true;
  invoker.answer = R"({"errorMessage":"no","errorType":"E"})";
  Started started = start({}, R"({"n":1})");
  for (int64_t delay : {1'000, 2'000, 4'000, 8'000}) {
    advance(delay - 1);
    advance(1);
  }
  EXPECT_EQ(invoker.events.size(), 5u);
  EXPECT_EQ(state(started).status, ExecutionStatus::Failed);
  auto letters = take("dead", 5);
  ASSERT_EQ(letters.size(), 1u);
  EXPECT_EQ(letters[0].body, R"({"n":1})");
  EXPECT_EQ(letters[0].attributes.at("ErrorMessage").value, "no");
  reopen();
  EXPECT_TRUE(take("dead").empty());
}

TEST_F(ExecutionsTest, AThrottleIsNoFailure) {
  invoker.throttles = 20;
  Started started = start();
  for (int i = 0; i < 20; ++i) advance(1'000);
  EXPECT_EQ(invoker.events.size(), 21u);
  EXPECT_EQ(state(started).failures, 1u);  // PENDING without anything to wait for
}

TEST_F(ExecutionsTest, AFunctionThatIsGoneEndsIt) {
  gone = true;
  Started started = start();
  EXPECT_EQ(state(started).status, ExecutionStatus::Failed);
  EXPECT_TRUE(invoker.events.empty());
}

TEST_F(ExecutionsTest, NamesAreTakenOnce) {
  Started first = start("a", "1"), again = start("a", "1"), other = start("a", "2");
  EXPECT_EQ(again.how, Started::How::Existing);
  EXPECT_EQ(again.arn, first.arn);
  EXPECT_EQ(other.how, Started::How::Differs);
}

TEST_F(ExecutionsTest, ThereAreBounds) {
  options.max_executions = 1;
  reopen();
  start();
  NewExecution asked{.function = "f", .version = "1", .input = "{}"};
  EXPECT_EQ(loop.run_until_complete(executions->start_execution(asked)).error().kind(), Kind::Exhausted);
  reopen();
  options.profile = LimitProfile::Strict;
  options.max_executions = 9;
  invoker.hold = true;
  reopen();
  Started started = start();
  std::vector<OperationUpdate> many;
  for (int i = 0; i <= 3000; ++i)
    many.push_back({.id = std::to_string(i), .action = OperationAction::Succeed, .payload = "1"});
  auto refused = checkpoint(started, many);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message().find("more than 3000 operations"), std::string::npos);
  many.pop_back();
  EXPECT_TRUE(checkpoint(started, many)) << "nothing of what was refused has happened";
}

TEST_F(ExecutionsTest, ContextsThatAreOverHideWhatWasWithin) {
  invoker.hold = true;
  Started started = start();
  auto ids = [&] {
    std::vector<std::string> found;
    for (const Json& each : invoker.events.back()["InitialExecutionState"]["Operations"])
      found.push_back(each["Id"]);
    found.erase(found.begin());  // the execution itself
    return found;
  };
  std::string first = token();
  ASSERT_TRUE(checkpoint(
      started, {{.id = "outer", .type = OperationType::Context},
                {.id = "inner", .parent_id = "outer", .type = OperationType::Context},
                {.id = "step", .parent_id = "inner", .action = OperationAction::Succeed, .payload = "1"},
                {.id = "inner", .type = OperationType::Context, .action = OperationAction::Succeed},
                {.id = "kept", .type = OperationType::Context},
                {.id = "below", .parent_id = "kept", .action = OperationAction::Succeed, .payload = "2"},
                {.id = "kept",
                 .type = OperationType::Context,
                 .action = OperationAction::Succeed,
                 .replay_children = true},
                {.id = "last", .type = OperationType::Callback}}));
  EXPECT_FALSE(loop.run_until_complete(executions->state(arn(started), first, 0, 100)))
      << "that token is used up";
  reopen();
  EXPECT_EQ(ids(), (std::vector<std::string>{"outer", "inner", "kept", "below", "last"}));
  ASSERT_TRUE(checkpoint(started,
                         {{.id = "outer", .type = OperationType::Context, .action = OperationAction::Fail}}));
  reopen();
  EXPECT_EQ(ids(), (std::vector<std::string>{"outer", "kept", "below", "last"}));
}

TEST_F(ExecutionsTest, ChainedInvokesOfAKilledDaemonAreMadeAgain) {
  invoker.hold = true;
  Started started = start();
  ASSERT_TRUE(checkpoint(
      started,
      {{.id = "i", .type = OperationType::ChainedInvoke, .payload = "5", .chained_function = "plain"}}));
  settle();
  ASSERT_EQ(invoker.events.size(), 2u);
  EXPECT_EQ(invoker.events[1], Json(5));
  invoker.hold = false;
  reopen();  // the handler and the function it had called: both again
  ASSERT_GE(invoker.events.size(), 4u);
  settle();
  std::vector<std::string> types = history(started);
  EXPECT_EQ(std::count(types.begin(), types.end(), "ChainedInvokeSucceeded"), 1);
}

TEST_F(ExecutionsTest, InputsOfAnOlderDatabaseAreKept) {
  Started started = start("old", R"({"order":7})");
  executions.reset();
  // As the first version had it: the input in the execution's row.
  for (std::string_view text :
       {"ALTER TABLE durable_executions ADD COLUMN input BLOB NOT NULL DEFAULT x''",
        "UPDATE durable_executions SET input = (SELECT i.input FROM durable_inputs i WHERE i.execution = id)",
        "DROP TABLE durable_inputs", "UPDATE berth_schema SET version = 1 WHERE component = 'durable'"}) {
    ASSERT_TRUE(database->execute(text)) << text;
  }
  QueueDatabase::close();
  QueueDatabase::open();
  open_executions();
  settle();
  EXPECT_EQ(loop.run_until_complete(executions->describe(arn(started), true))->input, R"({"order":7})");
}

TEST(DurableNames, ArnsAreTakenApart) {
  std::string text = "arn:aws:lambda:eu-west-1:123456789012:function:f:$LATEST/durable-execution/n-1/u-2";
  auto arn = parse_execution_arn(text);
  ASSERT_TRUE(arn);
  EXPECT_EQ(arn->function + "|" + arn->version + "|" + arn->name + "|" + arn->invocation,
            "f|$LATEST|n-1|u-2");
  for (const char* bad : {"", "f:1/durable-execution/a/b",
                          "arn:aws:lambda:eu-west-1:123456789012:function:f/durable-execution/a/b",
                          "arn:aws:lambda:eu-west-1:123456789012:function:f:live/durable-execution/a/b",
                          "arn:aws:lambda:eu-west-1:123456789012:function:f:1/durable-execution/a",
                          "arn:aws:lambda:eu-west-1:123456789012:function:f:1/durable-execution//b",
                          "arn:aws:lambda:eu-west-1:123456789012:function:f:1/durable-execution/a/b/c"}) {
    EXPECT_FALSE(parse_execution_arn(bad)) << bad;
  }
}

}  // namespace
}  // namespace berth::functions::durable
