// What SQS promises, on a clock that is moved by hand.
#include "functions/queues/queues.h"

#include <gtest/gtest.h>

#include "functions/queues/attributes.h"
#include "functions/testing.h"

namespace berth::functions::queues {
namespace {

class QueuesTest : public testing::Test, public QueueDatabase {
 public:
  Result<std::string> create(const std::string& name, Queues::Attributes attributes = {}) {
    return loop.run_until_complete(queues->create({}, name, std::move(attributes), {}));
  }
  Result<SentMessage> send(const std::string& queue, NewMessage message) {
    return loop.run_until_complete(queues->send({{}, queue}, std::move(message)));
  }
  std::vector<Message> receive(const std::string& queue, ReceiveRequest request = {.max_messages = 10}) {
    auto received = loop.run_until_complete(queues->receive({{}, queue}, request));
    EXPECT_TRUE(received);
    return received ? *received : std::vector<Message>();
  }
  Result<void> remove(const std::string& queue, const std::string& receipt) {
    auto outcomes = loop.run_until_complete(queues->remove_messages({{}, queue}, {receipt}));
    if (!outcomes) return outcomes.error();
    return outcomes->front();
  }
  Result<void> hide(const std::string& queue, const std::string& receipt, int64_t seconds) {
    auto outcomes = loop.run_until_complete(queues->change_visibility({{}, queue}, {{receipt, seconds}}));
    if (!outcomes) return outcomes.error();
    return outcomes->front();
  }
  std::string attribute(const std::string& queue, const std::string& name) {
    return (*loop.run_until_complete(queues->attributes({{}, queue})))[name];
  }
};

TEST_F(QueuesTest, AMessageIsHiddenWhileInFlightAndComesBack) {
  ASSERT_TRUE(create("q"));
  ASSERT_TRUE(send("q", {.body = "hello"}));
  auto first = receive("q");
  ASSERT_EQ(first.size(), 1u);
  EXPECT_EQ(first[0].body, "hello");
  EXPECT_EQ(first[0].receive_count, 1);
  EXPECT_TRUE(receive("q").empty());
  EXPECT_EQ(attribute("q", "ApproximateNumberOfMessagesNotVisible"), "1");
  clock.ms += 30'000;
  auto second = receive("q");
  ASSERT_EQ(second.size(), 1u);
  EXPECT_EQ(second[0].receive_count, 2);
  ASSERT_TRUE(remove("q", second[0].receipt_handle));
  clock.ms += 30'000;
  EXPECT_TRUE(receive("q").empty());
}

TEST_F(QueuesTest, MessagesSurviveTheDaemon) {
  ASSERT_TRUE(create("q", {{"VisibilityTimeout", "7"}}));
  ASSERT_TRUE(send("q", {.body = "kept",
                         .attributes = {{"n", {"Number", "5"}}, {"b", {"Binary", std::string("\0x", 2)}}}}));
  close();
  open();
  EXPECT_EQ(attribute("q", "VisibilityTimeout"), "7");
  auto messages = receive("q");
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(messages[0].attributes.at("n").value, "5");
  EXPECT_EQ(messages[0].attributes.at("b").value, std::string("\0x", 2));
}

TEST_F(QueuesTest, DelaysAndVisibilityCanBeChosen) {
  ASSERT_TRUE(create("q", {{"DelaySeconds", "5"}}));
  ASSERT_TRUE(send("q", {.body = "late"}));
  ASSERT_TRUE(send("q", {.body = "now", .delay_seconds = 0}));
  EXPECT_EQ(attribute("q", "ApproximateNumberOfMessagesDelayed"), "1");
  auto now = receive("q");
  ASSERT_EQ(now.size(), 1u);
  EXPECT_EQ(now[0].body, "now");
  ASSERT_TRUE(hide("q", now[0].receipt_handle, 0));
  EXPECT_EQ(receive("q").size(), 1u);
  ASSERT_TRUE(hide("q", now[0].receipt_handle, 10));  // an old handle
  clock.ms += 5'000;
  EXPECT_EQ(receive("q").size(), 1u);
  ASSERT_TRUE(create("q.fifo", {{"FifoQueue", "true"}}));
  ASSERT_TRUE(send("q.fifo", {.body = "x", .group_id = "g", .deduplication_id = "d"}));
  auto first = receive("q.fifo");
  ASSERT_EQ(first.size(), 1u);
  ASSERT_TRUE(hide("q.fifo", first[0].receipt_handle, 0));
  EXPECT_EQ(receive("q.fifo").size(), 1u);
  EXPECT_EQ(hide("q.fifo", first[0].receipt_handle, 10).error().kind(), Kind::WrongState);
}

TEST_F(QueuesTest, ALongPollEndsWithTheMessage) {
  ASSERT_TRUE(create("q"));
  auto both = [](QueuesTest& test) -> io::Task<size_t> {
    io::TaskGroup group;
    std::vector<Message> got;
    auto wait = [](QueuesTest& t, std::vector<Message>& out) -> io::Task<void> {
      QueueName name{{}, "q"};
      ReceiveRequest request{.wait_seconds = 20};
      auto received = co_await t.queues->receive(name, request);
      out = *received;
    };
    group.spawn(wait(test, got));
    co_await test.loop.sleep_for(std::chrono::milliseconds(5));
    NewMessage message{.body = "x"};
    QueueName name{{}, "q"};
    auto sent = co_await test.queues->send(name, message);
    EXPECT_TRUE(sent);
    co_await group.wait_until_empty();
    co_return got.size();
  };
  EXPECT_EQ(loop.run_until_complete(both(*this)), 1u);
}

TEST_F(QueuesTest, MessagesThatAreReceivedTooOftenAreDeadLetters) {
  ASSERT_TRUE(create("dead"));
  ASSERT_TRUE(create(
      "q", {{"RedrivePolicy",
             R"({"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dead","maxReceiveCount":"2"})"}}));
  ASSERT_TRUE(send("q", {.body = "poison"}));
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(receive("q").size(), 1u);
    clock.ms += 30'000;
  }
  EXPECT_TRUE(receive("q").empty());
  auto dead = receive("dead");
  ASSERT_EQ(dead.size(), 1u);
  EXPECT_EQ(dead[0].body, "poison");
  EXPECT_EQ(dead[0].dead_letter_source, "arn:aws:sqs:us-east-1:000000000000:q");
  EXPECT_EQ(queues->dead_letter_sources({{}, "dead"}), std::vector<std::string>{"q"});
}

TEST_F(QueuesTest, AFifoGroupIsInOrderAndWaitsForItsMessageInFlight) {
  ASSERT_TRUE(create("q.fifo", {{"FifoQueue", "true"}}));
  for (auto [body, group] : {std::pair{"a1", "a"}, {"a2", "a"}, {"b1", "b"}}) {
    ASSERT_TRUE(send("q.fifo", {.body = body, .group_id = group, .deduplication_id = body}));
  }
  auto first = receive("q.fifo", {.max_messages = 1});
  ASSERT_EQ(first.size(), 1u);
  EXPECT_EQ(first[0].body, "a1");
  auto other = receive("q.fifo");
  ASSERT_EQ(other.size(), 1u);
  EXPECT_EQ(other[0].body, "b1");
  ASSERT_TRUE(remove("q.fifo", first[0].receipt_handle));
  auto next = receive("q.fifo");
  ASSERT_EQ(next.size(), 1u);
  EXPECT_EQ(next[0].body, "a2");
  clock.ms += 31'000;
  EXPECT_EQ(remove("q.fifo", next[0].receipt_handle).error().kind(), Kind::DeadlineExceeded);
}

TEST_F(QueuesTest, FifoDuplicatesWithinFiveMinutesAreOneMessage) {
  ASSERT_TRUE(create("q.fifo", {{"FifoQueue", "true"}, {"ContentBasedDeduplication", "true"}}));
  auto first = send("q.fifo", {.body = "same", .group_id = "g"});
  auto again = send("q.fifo", {.body = "same", .group_id = "g"});
  ASSERT_TRUE(first && again);
  EXPECT_EQ(first->message_id, again->message_id);
  EXPECT_EQ(first->sequence_number, again->sequence_number);
  clock.ms += 5 * 60'000 + 1;
  auto later = send("q.fifo", {.body = "same", .group_id = "g"});
  ASSERT_TRUE(later);
  EXPECT_NE(first->message_id, later->message_id);
  EXPECT_EQ(receive("q.fifo").size(), 2u);
  EXPECT_FALSE(send("q.fifo", {.body = "no group"}));
}

TEST_F(QueuesTest, RetentionEndsMessages) {
  ASSERT_TRUE(create("q", {{"MessageRetentionPeriod", "60"}}));
  ASSERT_TRUE(send("q", {.body = "x"}));
  clock.ms += 60'000;
  EXPECT_TRUE(receive("q").empty());
  EXPECT_EQ(attribute("q", "ApproximateNumberOfMessages"), "0");
}

TEST_F(QueuesTest, RefusesWhatAwsRefuses) {
  EXPECT_FALSE(create("bad name"));
  EXPECT_FALSE(create("q.fifo"));
  EXPECT_FALSE(create("q", {{"VisibilityTimeout", "43201"}}));
  EXPECT_EQ(create("q", {{"Nope", "1"}}).error().kind(), Kind::Unsupported);
  ASSERT_TRUE(create("q", {{"VisibilityTimeout", "5"}}));
  EXPECT_TRUE(create("q", {{"VisibilityTimeout", "5"}}));
  EXPECT_EQ(create("q", {{"VisibilityTimeout", "6"}}).error().kind(), Kind::AlreadyExists);
  EXPECT_EQ(send("none", {.body = "x"}).error().kind(), Kind::NotFound);
  EXPECT_FALSE(send("q", {.body = ""}));
  EXPECT_EQ(send("q", {.body = "\x01"}).error().kind(), Kind::Corrupt);
  EXPECT_FALSE(send("q", {.body = std::string(1'048'577, 'x')}));
  EXPECT_FALSE(send("q", {.body = "x", .attributes = {{"a", {"Strange", "x"}}}}));
  EXPECT_EQ(remove("q", "garbage").error().kind(), Kind::InvalidArgument);
}

TEST_F(QueuesTest, FullQueuesRefuseWithTheWayOut) {
  close();
  limits.max_messages = 1;
  open();
  ASSERT_TRUE(create("q"));
  ASSERT_TRUE(send("q", {.body = "x"}));
  EXPECT_EQ(send("q", {.body = "y"}).error().kind(), Kind::Exhausted);
}

TEST(MessageSums, AreThoseOfTheClients) {
  EXPECT_EQ(md5_hex("This is a test message"), "fafb00f5732ab283681e124bf8747ed1");
  EXPECT_EQ(md5_of_attributes({}), "");
  // As botocore's users see them for {"my_attribute_name_1": String "my_attribute_value_1"}: computed by
  // hand.
  std::string input = std::string("\0\0\0\x01n\0\0\0\x06String\x01\0\0\0\x01v", 21);
  EXPECT_EQ(md5_of_attributes({{"n", {"String", "v"}}}), md5_hex(input));
}

}  // namespace
}  // namespace berth::functions::queues
