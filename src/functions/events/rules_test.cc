// Rules on a clock that is moved by hand: each time of a schedule counts once, whatever becomes of the
// daemon.
#include "functions/events/rules.h"

#include <gtest/gtest.h>

#include "functions/events/event_queue.h"
#include "functions/events/event_sources.h"
#include "functions/testing.h"

namespace berth::functions::events {
namespace {

/// Rules whose targets are queues call no function.
class NoInvoker final : public Invoker {
 public:
  io::Task<Result<InvocationOutcome>> invoke(Invocation) override {
    co_return Error(Kind::Internal, "not here");
  }
  Throttle last_throttle() const override { return Throttle::None; }
  void function_changed(const Realm&, const std::string&, FunctionVersionPtr) override {}
  void set_concurrency(const Realm&, const std::string&, ConcurrencySettings) override {}
  Provisioned provisioned(const Realm&, const std::string&, const std::string&) const override { return {}; }
};

class RulesTest : public testing::Test, public QueueDatabase {
 public:
  RulesTest() {
    open_rules();
    EXPECT_TRUE(loop.run_until_complete(queues->create({}, "q", {{"VisibilityTimeout", "43200"}}, {})));
  }
  ~RulesTest() override {
    rules.reset();
    events.reset();
  }
  void open() {
    QueueDatabase::open();
    open_rules();
  }
  void close() {
    rules.reset();
    events.reset();
    QueueDatabase::close();
  }
  void open_rules() {
    auto find = [](const Realm&, const std::string&, const std::string&) -> Result<Addressee> {
      return Error(Kind::NotFound, "Function not found");
    };
    events = *EventQueue::open(loop, *database, *commits, find, invoker, *queues, {}, clock);
    rules = *Rules::open(loop, *database, *commits, *events, *queues, clock);
  }
  Result<void> put(Rule rule) {
    std::string name = rule.name;
    auto made = loop.run_until_complete(rules->put(std::move(rule)));
    if (!made) return made;
    return loop.run_until_complete(
        rules->put_targets({}, name, {{.id = "1", .arn = "arn:aws:sqs:us-east-1:000000000000:q"}}));
  }
  /// What has come within a moment.
  std::vector<queues::Message> take() {
    settle();
    return QueueDatabase::take("q");
  }
  void advance(int64_t ms) {
    clock.ms += ms;
    rules->look_again();
  }

  NoInvoker invoker;
  std::unique_ptr<EventQueue> events;
  std::unique_ptr<Rules> rules;
};

TEST_F(RulesTest, ARateFiresOncePerPeriod) {
  ASSERT_TRUE(put({.name = "r", .schedule = "rate(1 minute)"}));
  EXPECT_TRUE(take().empty());
  advance(60'000);
  EXPECT_EQ(take().size(), 1u);
  advance(59'000);
  EXPECT_TRUE(take().empty());
  advance(1'000);
  EXPECT_EQ(take().size(), 1u);
}

TEST_F(RulesTest, TimesThatPassedWhileNobodyLookedCountAsOne) {
  ASSERT_TRUE(put({.name = "r", .schedule = "rate(1 minute)"}));
  close();
  clock.ms += 10 * 60'000;
  open();
  EXPECT_EQ(take().size(), 1u);
  close();
  open();
  EXPECT_TRUE(take().empty());
}

TEST_F(RulesTest, DisabledRulesAndRemovedTargetsAreQuiet) {
  ASSERT_TRUE(put({.name = "r", .schedule = "rate(1 minute)"}));
  ASSERT_TRUE(loop.run_until_complete(rules->set_enabled({}, "r", false)));
  advance(60'000);
  EXPECT_TRUE(take().empty());
  EXPECT_EQ(loop.run_until_complete(rules->remove({}, "r", Rules::WithTargets::No)).error().kind(),
            Kind::WrongState);
  ASSERT_TRUE(loop.run_until_complete(rules->remove_targets({}, "r", {"1"})));
  ASSERT_TRUE(loop.run_until_complete(rules->remove({}, "r", Rules::WithTargets::No)));
  EXPECT_FALSE(rules->find({}, "r"));
}

TEST(BatchResponse, IsReadAsAwsReadsIt) {
  using Kind = BatchResponse::Kind;
  for (auto [text, kind] : {std::pair{"", Kind::AllDone},
                            {"null", Kind::AllDone},
                            {"{}", Kind::AllDone},
                            {R"({"batchItemFailures":null})", Kind::AllDone},
                            {R"({"batchItemFailures":[]})", Kind::AllDone},
                            {R"({"batchItemFailures":[{"itemIdentifier":"a"}]})", Kind::Some},
                            {R"({"batchItemFailures":[{"itemIdentifier":""}]})", Kind::AllFailed},
                            {R"({"batchItemFailures":[{"itemIdentifier":null}]})", Kind::AllFailed},
                            {R"({"batchItemFailures":[{"id":"a"}]})", Kind::AllFailed},
                            {R"({"batchItemFailures":7})", Kind::AllFailed}}) {
    EXPECT_EQ(read_batch_response(text).kind, kind) << text;
  }
}

}  // namespace
}  // namespace berth::functions::events
