// What use costs.
#include "apps/berth/commands/functions/prices.h"

#include <gtest/gtest.h>

namespace berth::cli::commands {
namespace {

TEST(Prices, AreThoseOfAwsUnlessSaidOtherwise) {
  // AWS's own example: 3 million requests of 120 ms at 1536 MB are 540,000 GB-seconds.
  double cost = cost_of({}, "function", 3'000'000, 3'000'000ull * 120 * 1536);
  EXPECT_NEAR(cost, 540'000 * 0.0000166667 + 0.6, 0.001);
  EXPECT_EQ(cost_of({}, "container", 1, 1'000'000), 0);
}

TEST(Prices, ComeFromAFile) {
  auto prices =
      read_prices("p", "# ours\nfunction_gb_second = 0.5\nfunction_request=2 # each\ncurrency = EUR\n");
  ASSERT_TRUE(prices) << prices.error().message();
  EXPECT_DOUBLE_EQ(cost_of(*prices, "function", 1, 1024 * 1000), 2.5);
  EXPECT_EQ(prices->currency, "EUR ");
  for (const char* bad : {"nope = 1", "function_request = x", "function_request", "function_request = -1"})
    EXPECT_FALSE(read_prices("p", bad)) << bad;
}

}  // namespace
}  // namespace berth::cli::commands
