// AWS's rules for asynchronous events, on times that are handed in.
#include "functions/events/retry_policy.h"

#include <gtest/gtest.h>

namespace berth::functions::events {
namespace {

constexpr int64_t kStart = 1'000'000;

TEST(RetryPolicy, FunctionErrorsAreTriedAgainAfterOneAndTwoMinutes) {
  EventInvokeSettings settings;
  EventProgress progress{.accepted_ms = kStart};
  auto first = decide(Attempt::FunctionError, progress, settings, {}, kStart);
  ASSERT_TRUE(first.again);
  EXPECT_EQ(first.due_ms, kStart + 60'000);
  auto second = decide(Attempt::FunctionError, first.progress, settings, {}, first.due_ms);
  ASSERT_TRUE(second.again);
  EXPECT_EQ(second.due_ms, first.due_ms + 120'000);
  auto third = decide(Attempt::FunctionError, second.progress, settings, {}, second.due_ms);
  EXPECT_FALSE(third.again);
  EXPECT_EQ(third.ending, Ending::RetriesExhausted);
  EXPECT_EQ(third.progress.errors, 3u);
}

TEST(RetryPolicy, WithoutRetriesTheFirstErrorIsTheLast) {
  auto decision = decide(Attempt::FunctionError, {.accepted_ms = kStart}, {.maximum_retries = 0}, {}, kStart);
  EXPECT_FALSE(decision.again);
  EXPECT_EQ(decision.ending, Ending::RetriesExhausted);
}

TEST(RetryPolicy, ThrottlesBackOffAndDoNotCountAsRetries) {
  EventInvokeSettings settings;
  EventProgress progress{.accepted_ms = kStart};
  int64_t now = kStart;
  int64_t last = 0;
  for (int i = 0; i < 12; ++i) {
    auto decision = decide(Attempt::TurnedAway, progress, settings, {}, now);
    ASSERT_TRUE(decision.again);
    int64_t delay = decision.due_ms - now;
    EXPECT_GE(delay, last);
    EXPECT_LE(delay, 300'000);
    EXPECT_EQ(decision.progress.errors, 0u);
    last = delay;
    now = decision.due_ms;
    progress = decision.progress;
  }
  EXPECT_EQ(last, 300'000);
}

TEST(RetryPolicy, AnAttemptThatWouldComeTooLateEndsTheEvent) {
  EventInvokeSettings settings{.maximum_age_ms = 90'000};
  auto first = decide(Attempt::FunctionError, {.accepted_ms = kStart}, settings, {}, kStart);
  ASSERT_TRUE(first.again);
  auto second = decide(Attempt::FunctionError, first.progress, settings, {}, first.due_ms);
  EXPECT_FALSE(second.again);
  EXPECT_EQ(second.ending, Ending::EventAgeExceeded);
  EXPECT_TRUE(too_old({.accepted_ms = kStart}, settings, kStart + 90'001));
  EXPECT_FALSE(too_old({.accepted_ms = kStart}, settings, kStart + 90'000));
}

TEST(RetryPolicy, AFunctionThatIsSwitchedOffEndsEventsAtOnce) {
  auto decision = decide(Attempt::TurnedAway, {.accepted_ms = kStart}, {.switched_off = true}, {}, kStart);
  EXPECT_FALSE(decision.again);
  EXPECT_EQ(decision.ending, Ending::ZeroReservedConcurrency);
}

}  // namespace
}  // namespace berth::functions::events
