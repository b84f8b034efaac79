// Chains of events, and headers that are none.
#include "functions/lineage.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace berth::functions {
namespace {

constexpr std::string_view first = "arn:aws:lambda:us-east-1:000000000000:function:first";
constexpr std::string_view second = "arn:aws:lambda:us-east-1:000000000000:function:second";

TEST(Lineage, CountsEachFunctionOfAChain) {
  std::string header = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0";
  EXPECT_EQ(runs_of(header, first), 0U);
  for (uint32_t run = 1; run <= longest_loop; ++run) {
    header = with_run_of(with_run_of(header, first), second);
    EXPECT_EQ(runs_of(header, first), run);
    EXPECT_EQ(runs_of(header, second), run);
  }
  EXPECT_TRUE(
      header.starts_with("Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0;"));
  EXPECT_EQ(std::count(header.begin(), header.end(), '='), 4);
}

TEST(Lineage, WhatIsNoneCountsNothing) {
  for (const char* text :
       {"", ";;;", "Lineage=", "Lineage=x", "Lineage=:", "Lineage=a87bd80c:", "Lineage=|||",
        "Lineage=a87bd80c:99999999999999999999", "Lineage=a87bd80c:-1", "Lineage=a87bd80c:1x"}) {
    EXPECT_EQ(runs_of(text, first), 0U) << text;
    EXPECT_EQ(runs_of(with_run_of(text, first), first), 1U) << text;
  }
}

TEST(Lineage, IsBounded) {
  std::string header;
  for (int i = 0; i < 100; ++i) header = with_run_of(header, std::to_string(i));
  EXPECT_LT(header.size(), 300U);
  EXPECT_EQ(runs_of(header, "99"), 1U);
  EXPECT_EQ(runs_of(header, "0"), 0U);
}

}  // namespace
}  // namespace berth::functions
