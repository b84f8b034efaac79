// Tests of the event log: filters, replay, and subscribers that come and go.
#include "engine/events.h"

#include <gtest/gtest.h>

#include "io/event_loop.h"
#include "io/task_group.h"

namespace berth::engine {
namespace {

class FakeClock : public Clock {
 public:
  Timestamp now() const override { return from_unix_nanoseconds(time); }
  int64_t time = 1'000'000'000;
};

Event event(std::string type, std::string action, std::string id,
            std::map<std::string, std::string> attributes) {
  return {.type = std::move(type),
          .action = std::move(action),
          .actor_id = std::move(id),
          .attributes = std::move(attributes)};
}

TEST(EventFilters, MatchAsDockerDoes) {
  Event start = event("container", "start", "abc123", {{"name", "web"}, {"image", "nginx:1"}, {"x", "1"}});
  EXPECT_TRUE(matches(start, {}));
  EXPECT_TRUE(matches(start, {{"event", {"die", "start"}}, {"type", {"container"}}}));
  EXPECT_FALSE(matches(start, {{"event", {"die"}}}));
  EXPECT_TRUE(matches(start, {{"container", {"abc"}}}));
  EXPECT_TRUE(matches(start, {{"container", {"web"}}}));
  EXPECT_FALSE(matches(start, {{"container", {"other"}}}));
  EXPECT_TRUE(matches(start, {{"image", {"nginx"}}}));
  EXPECT_TRUE(matches(start, {{"image", {"nginx:1"}}}));
  EXPECT_FALSE(matches(start, {{"image", {"nginx:2"}}}));
  EXPECT_TRUE(matches(start, {{"label", {"x", "x=1"}}}));
  EXPECT_FALSE(matches(start, {{"label", {"x", "x=2"}}}));
  EXPECT_TRUE(matches(event("container", "exec_start: ls -l", "a", {}), {{"event", {"exec_start"}}}));
  EXPECT_TRUE(matches(event("container", "health_status: healthy", "a", {}),
                      {{"event", {"health_status: healthy"}}}));
  EXPECT_TRUE(check_event_filters({{"container", {"x"}}}));
  EXPECT_EQ(check_event_filters({{"nope", {"x"}}}).error().message(), "invalid filter 'nope'");
}

class EventLogTest : public ::testing::Test {
 protected:
  /// All events until the subscription ends.
  static io::Task<std::vector<std::string>> drain(EventSubscription& subscription) {
    std::vector<std::string> actions;
    while (true) {
      io::Task<std::optional<Event>> next = subscription.next();
      auto event = co_await std::move(next);
      if (!event) co_return actions;
      actions.push_back(event->action);
    }
  }
  static io::Task<std::optional<Event>> take(EventSubscription& subscription) {
    io::Task<std::optional<Event>> next = subscription.next();
    co_return co_await std::move(next);
  }
  void publish(const std::string& action) {
    clock.time += 1000;
    log.publish("container", action, "id", {});
  }
  FakeClock clock;
  io::EventLoop loop;
  EventLog log{clock, 4};
};

TEST_F(EventLogTest, ReplaysWhatIsKeptAndEndsInThePast) {
  for (const char* action : {"a", "b", "c", "d", "e"}) publish(action);
  auto all = log.subscribe({.since = Timestamp{}, .until = clock.now()});
  EXPECT_EQ(loop.run_until_complete(drain(all)), (std::vector<std::string>{"b", "c", "d", "e"}));
  auto some = log.subscribe({.since = from_unix_nanoseconds(clock.time - 1000), .until = clock.now()});
  EXPECT_EQ(loop.run_until_complete(drain(some)), (std::vector<std::string>{"d", "e"}));
  auto none = log.subscribe({.until = clock.now()});
  EXPECT_TRUE(loop.run_until_complete(drain(none)).empty());
}

TEST_F(EventLogTest, WakesWhoWaits) {
  auto subscription = log.subscribe({.filters = {{"event", {"start"}}}});
  EXPECT_EQ(log.subscribers(), 1u);
  loop.post([this] {
    publish("create");
    publish("start");
  });
  auto event = loop.run_until_complete(take(subscription));
  ASSERT_TRUE(event);
  EXPECT_EQ(event->action, "start");
}

TEST_F(EventLogTest, ASlowSubscriberLosesTheOldest) {
  auto subscription = log.subscribe({});
  for (const char* action : {"a", "b", "c", "d", "e", "f"}) publish(action);
  EXPECT_EQ(loop.run_until_complete(take(subscription))->action, "c");
}

TEST_F(EventLogTest, ASubscriberMayGoWhileItWaits) {
  {
    auto subscription = log.subscribe({});
    io::TaskGroup tasks;
    auto wait = [](EventSubscription& subscription) -> io::Task<void> {
      io::Task<std::optional<Event>> next = subscription.next();
      co_await std::move(next);
    };
    tasks.spawn(wait(subscription));
    auto turn = [](io::EventLoop& loop) -> io::Task<void> { co_await loop.yield(); };
    loop.run_until_complete(turn(loop));
  }
  EXPECT_EQ(log.subscribers(), 0u);
  publish("start");
}

}  // namespace
}  // namespace berth::engine
