// Outcomes are kept for a moment, and not without bound.
#include "engine/recent_outcomes.h"

#include <gtest/gtest.h>

namespace berth::engine {
namespace {

using namespace std::chrono_literals;

TEST(RecentOutcomes, AreKnownForAMoment) {
  RecentOutcomes recent;
  RecentOutcomes::Time start{};
  recent.add("a", {.status_code = 7}, start);
  EXPECT_EQ(recent.find("a", start + 1s).value().status_code, 7);
  EXPECT_FALSE(recent.find("b", start + 1s));
  EXPECT_FALSE(recent.find("a", start + 1min));
}

TEST(RecentOutcomes, AreBounded) {
  RecentOutcomes recent;
  RecentOutcomes::Time start{};
  for (size_t i = 0; i < RecentOutcomes::kMost + 1; ++i) recent.add(std::to_string(i), {}, start);
  EXPECT_FALSE(recent.find("0", start));
  EXPECT_TRUE(recent.find("1", start));
}

}  // namespace
}  // namespace berth::engine
