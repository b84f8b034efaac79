// Tests of restart policies and their back-off; time is a number here.
#include "engine/restart_policy.h"

#include <gtest/gtest.h>

namespace berth::engine {
namespace {

using namespace std::chrono_literals;

TEST(RestartPolicy, BacksOffAndComesBackAfterTenGoodSeconds) {
  RestartHistory history;
  spec::RestartPolicy always{.name = "always"};
  std::vector<std::chrono::milliseconds> delays;
  for (int i = 0; i < 12; ++i)
    delays.push_back(*next_restart(always, {.exit_code = 1, .ran_for = 1s}, history));
  EXPECT_EQ(delays[0], 100ms);
  EXPECT_EQ(delays[1], 200ms);
  EXPECT_EQ(delays[9], 51200ms);
  EXPECT_EQ(delays[10], 60000ms);
  EXPECT_EQ(delays[11], 60000ms);
  EXPECT_EQ(next_restart(always, {.exit_code = 1, .ran_for = 10s}, history), 100ms);
  EXPECT_EQ(history.count, 13);
}

TEST(RestartPolicy, OnFailureCountsAndLooksAtTheExitCode) {
  RestartHistory history;
  spec::RestartPolicy policy{.name = "on-failure", .maximum_retry_count = 2};
  EXPECT_FALSE(next_restart(policy, {.exit_code = 0}, history));
  EXPECT_TRUE(next_restart(policy, {.exit_code = 1}, history));
  EXPECT_TRUE(next_restart(policy, {.exit_code = 1}, history));
  EXPECT_FALSE(next_restart(policy, {.exit_code = 1}, history));
  RestartHistory endless;
  policy.maximum_retry_count = 0;
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(next_restart(policy, {.exit_code = 137}, endless));
}

TEST(RestartPolicy, AStopByTheUserIsFinal) {
  for (const char* name : {"always", "unless-stopped", "on-failure", "no", ""}) {
    RestartHistory history;
    EXPECT_FALSE(next_restart({.name = name}, {.exit_code = 143, .stopped_by_user = true}, history)) << name;
  }
}

TEST(RestartPolicy, WhatADaemonStarts) {
  EXPECT_TRUE(restarts_with_daemon({.name = "always"}, true, false, 0));
  EXPECT_FALSE(restarts_with_daemon({.name = "unless-stopped"}, true, false, 0));
  EXPECT_TRUE(restarts_with_daemon({.name = "unless-stopped"}, false, false, 0));
  EXPECT_FALSE(restarts_with_daemon({.name = "on-failure"}, false, false, 1));
  EXPECT_TRUE(restarts_with_daemon({.name = "on-failure"}, false, true, 1));
  EXPECT_FALSE(restarts_with_daemon({.name = "no"}, false, true, 1));
}

TEST(RestartPolicy, RestartsTheUnhealthy) {
  const spec::RestartPolicy policy{.name = "on-unhealthy", .maximum_retry_count = 1};
  RestartHistory history;
  EXPECT_FALSE(next_restart(policy, {.exit_code = 0}, history).has_value());
  EXPECT_TRUE(next_restart(policy, {.exit_code = 0, .was_unhealthy = true}, history).has_value());
  EXPECT_FALSE(next_restart(policy, {.exit_code = 0, .was_unhealthy = true}, history).has_value());
  RestartHistory fresh;
  EXPECT_FALSE(next_restart(policy, {.exit_code = 1, .stopped_by_user = true, .was_unhealthy = true}, fresh)
                   .has_value());
  EXPECT_TRUE(next_restart(policy, {.exit_code = 1}, fresh).has_value());
}

}  // namespace
}  // namespace berth::engine
