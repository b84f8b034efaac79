// The queue of asynchronous events on a clock that is moved by hand and an invoker that does as told.
#include "functions/events/event_queue.h"

#include <gtest/gtest.h>

#include "base/json.h"
#include "functions/testing.h"

namespace berth::functions::events {
namespace {

enum class Behave { Succeed, Fail, Throttle };

class FakeInvoker final : public Invoker {
 public:
  io::Task<Result<InvocationOutcome>> invoke(Invocation invocation) override {
    calls.push_back(invocation.payload);
    tenants.push_back(invocation.tenant);
    called.notify_all();
    if (hold) co_await release.wait();
    if (behave == Behave::Throttle) co_return Error(Kind::Exhausted, "Rate Exceeded.");
    InvocationOutcome outcome{.request_id = invocation.request_id, .executed_version = "$LATEST"};
    outcome.payload = behave == Behave::Fail ? R"({"errorMessage":"no","errorType":"E"})" : "\"fine\"";
    if (behave == Behave::Fail) outcome.function_error = "Unhandled";
    co_return outcome;
  }
  Throttle last_throttle() const override { return Throttle::Concurrency; }
  void function_changed(const Realm&, const std::string&, FunctionVersionPtr) override {}
  void set_concurrency(const Realm&, const std::string&, ConcurrencySettings) override {}
  Provisioned provisioned(const Realm&, const std::string&, const std::string&) const override { return {}; }

  Behave behave = Behave::Succeed;
  bool hold = false;
  io::Event release;
  std::vector<std::string> calls, tenants;
  io::Condition called;
};

class EventQueueTest : public testing::Test, public QueueDatabase {
 protected:
  EventQueueTest() { open_events(); }
  ~EventQueueTest() override { events.reset(); }
  void open() {
    QueueDatabase::open();
    open_events();
  }
  /// As a killed daemon: what is in memory is lost.
  void close() {
    events.reset();
    QueueDatabase::close();
  }
  void open_events() {
    auto find = [this](const Realm& realm, const std::string& function,
                       const std::string&) -> Result<Addressee> {
      if (function == "gone") return Error(Kind::NotFound, "Function not found");
      auto version = std::make_shared<FunctionVersion>();
      version->realm = realm;
      version->name = function;
      return Addressee{version, settings};
    };
    events = *EventQueue::open(loop, *database, *commits, find, invoker, *queues, options, clock);
    events->start();
  }
  void make_queue(const std::string& name) {
    ASSERT_TRUE(loop.run_until_complete(queues->create({}, name, {}, {})));
  }
  Result<void> enqueue(std::string payload, std::string function = "f") {
    return loop.run_until_complete(events->enqueue({.function = std::move(function),
                                                    .request_id = "11111111-1111-4111-8111-111111111111",
                                                    .payload = std::move(payload)}));
  }
  void until_calls(size_t count) {
    loop.run_until_complete([](EventQueueTest& test, size_t wanted) -> io::Task<void> {
      while (test.invoker.calls.size() < wanted) co_await test.invoker.called.wait();
    }(*this, count));
    settle();  // what follows the call takes a transaction or two
  }
  void advance(int64_t ms) {
    clock.ms += ms;
    events->look_again();
  }

  FakeInvoker invoker;
  EventInvokeSettings settings;
  EventQueueOptions options;
  std::unique_ptr<EventQueue> events;
};

TEST_F(EventQueueTest, AnEventRunsOnceAndIsGone) {
  ASSERT_TRUE(enqueue("1"));
  until_calls(1);
  EXPECT_EQ(events->size(), 0u);
  close();
  open();
  EXPECT_EQ(events->size(), 0u);
}

TEST_F(EventQueueTest, ErrorsAreRetriedAndEndInTheDeadLetterQueueAndTheDestination) {
  make_queue("dead");
  make_queue("failed");
  settings.dead_letter_arn = "arn:aws:sqs:us-east-1:000000000000:dead";
  settings.on_failure = "arn:aws:sqs:us-east-1:000000000000:failed";
  invoker.behave = Behave::Fail;
  ASSERT_TRUE(enqueue(R"({"n":1})"));
  until_calls(1);
  advance(60'001);
  until_calls(2);
  advance(120'001);
  until_calls(3);
  auto letters = take("dead", 5);
  ASSERT_EQ(letters.size(), 1u);
  EXPECT_EQ(letters[0].body, R"({"n":1})");
  EXPECT_EQ(letters[0].attributes.at("ErrorMessage").value, "no");
  EXPECT_EQ(letters[0].attributes.at("ErrorCode").value, "200");
  auto documents = take("failed", 5);
  ASSERT_EQ(documents.size(), 1u);
  Json document = *parse_json(documents[0].body);
  EXPECT_EQ(document["requestContext"]["condition"], "RetriesExhausted");
  EXPECT_EQ(document["requestContext"]["approximateInvokeCount"], 3);
  EXPECT_EQ(document["requestPayload"]["n"], 1);
  EXPECT_EQ(document["responsePayload"]["errorMessage"], "no");
  EXPECT_EQ(events->size(), 0u);
}

TEST_F(EventQueueTest, SuccessReachesItsDestination) {
  make_queue("done");
  settings.on_success = "arn:aws:sqs:us-east-1:000000000000:done";
  ASSERT_TRUE(enqueue("{}"));
  auto documents = take("done", 5);
  ASSERT_EQ(documents.size(), 1u);
  Json document = *parse_json(documents[0].body);
  EXPECT_EQ(document["requestContext"]["condition"], "Success");
  EXPECT_EQ(document["responsePayload"], "fine");
}

TEST_F(EventQueueTest, AFunctionAsDestinationGetsTheDocument) {
  settings.on_success = "arn:aws:lambda:us-east-1:000000000000:function:gone";
  ASSERT_TRUE(enqueue("{}"));
  until_calls(1);
  EXPECT_EQ(events->size(), 0u);  // the event for "gone" was dropped
}

TEST_F(EventQueueTest, AnAcceptedEventSurvivesTheDaemon) {
  invoker.hold = true;
  ASSERT_TRUE(enqueue("1"));
  until_calls(1);
  close();
  invoker.hold = false;
  open();
  until_calls(2);
  EXPECT_EQ(invoker.calls, (std::vector<std::string>{"1", "1"}));
  EXPECT_EQ(events->size(), 0u);
}

TEST_F(EventQueueTest, AnEventKeepsItsTenant) {
  invoker.hold = true;
  AsyncEvent event{.realm = {}, .function = "f", .request_id = "r", .payload = "1", .tenant = "blue"};
  ASSERT_TRUE(loop.run_until_complete(events->enqueue(std::move(event))));
  until_calls(1);
  close();
  invoker.hold = false;
  open();
  until_calls(2);
  EXPECT_EQ(invoker.tenants, (std::vector<std::string>{"blue", "blue"}));
}

TEST_F(EventQueueTest, ThrottledEventsWaitAndAreNotCountedAsErrors) {
  invoker.behave = Behave::Throttle;
  ASSERT_TRUE(enqueue("1"));
  until_calls(1);
  EXPECT_EQ(events->size(), 1u);
  invoker.behave = Behave::Succeed;
  advance(1'001);
  until_calls(2);
  EXPECT_EQ(events->size(), 0u);
}

TEST_F(EventQueueTest, AFullQueueRefusesWithTheWayOut) {
  close();
  options.max_events = 1;
  open();
  invoker.hold = true;
  ASSERT_TRUE(enqueue("1"));
  auto refused = enqueue("2");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind(), Kind::Exhausted);
}

TEST_F(EventQueueTest, AFunctionHasAtMostItsShareAtWork) {
  close();
  options.per_function = 2;
  open();
  invoker.hold = true;
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(enqueue(std::to_string(i)));
  until_calls(2);
  EXPECT_EQ(invoker.calls.size(), 2u);
  invoker.release.set();
  until_calls(5);
  EXPECT_EQ(events->size(), 0u);
}

}  // namespace
}  // namespace berth::functions::events
