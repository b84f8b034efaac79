// What is left of a download and how the rest of it is cut.
#include "storage/download_parts.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/sha256.h"
#include "storage/testing.h"

namespace berth::storage {
namespace {

using Plan = std::vector<PartPlan>;

/// In order, touching, from `from` (or what is left before it) to the end.
void expect_whole(const Plan& plan, uint64_t from, uint64_t total) {
  ASSERT_FALSE(plan.empty());
  EXPECT_LE(plan.front().offset, from);
  EXPECT_EQ(plan.back().end, total);
  for (size_t i = 0; i < plan.size(); ++i) {
    EXPECT_LT(plan[i].offset, plan[i].end);
    EXPECT_LE(plan[i].have, plan[i].end - plan[i].offset);
    EXPECT_EQ(plan[i].offset, i > 0 ? plan[i - 1].end : plan[i].offset);
  }
}

TEST(PlanParts, CutsWhatIsMissing) {
  EXPECT_EQ(plan_parts(5, 30, 10, {}), (Plan{{5, 15, 0}, {15, 25, 0}, {25, 30, 0}}));
  EXPECT_TRUE(plan_parts(30, 30, 10, {}).empty());
}

TEST(PlanParts, GoesOnWithWhatIsLeft) {
  EXPECT_EQ(plan_parts(5, 50, 10, {{25, 4}, {15, 10}}),
            (Plan{{5, 15, 0}, {15, 25, 10}, {25, 35, 4}, {35, 45, 0}, {45, 50, 0}}));
  // The blob's file has taken a part of the first one already.
  EXPECT_EQ(plan_parts(18, 40, 10, {{15, 6}, {25, 2}}), (Plan{{15, 25, 6}, {25, 35, 2}, {35, 40, 0}}));
  EXPECT_EQ(plan_parts(25, 40, 10, {{15, 10}}), (Plan{{25, 35, 0}, {35, 40, 0}}));
}

TEST(PlanParts, IsWholeWhateverLiesThere) {
  for (const std::vector<LeftPart>& left : {std::vector<LeftPart>{{0, 100}},
                                            {{0, 3}, {1, 1000}},
                                            {{15, 100}, {20, 5}, {24, 60}},
                                            {{200, 5}},
                                            {{50, ~uint64_t{0}}},
                                            {{15, 10}, {15, 4}},
                                            {{0, 20}, {12, 3}}}) {
    expect_whole(plan_parts(10, 100, 10, left), 10, 100);
  }
}

TEST(PartFiles, AreFoundLockedAndRemoved) {
  TempDir folder;
  ContentStore content = ContentStore::open(folder.path() + "/content").value();
  Digest digest = sha256("the blob");
  {
    PartFile part = PartFile::open(content, digest, 4096, 0).value();
    ASSERT_TRUE(part.append("12345"));
    auto second = PartFile::open(content, digest, 4096, 0);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().kind(), Kind::Unavailable);
    // Collecting takes nothing from a download that is under way.
    ASSERT_TRUE(content.remove_partials());
    EXPECT_EQ(left_parts(content, digest).value().size(), 1u);
  }
  // Another engine finds them.
  ContentStore next = ContentStore::open(folder.path() + "/content").value();
  auto left = left_parts(next, digest).value();
  ASSERT_EQ(left.size(), 1u);
  EXPECT_EQ(left[0].offset, 4096u);
  EXPECT_EQ(left[0].size, 5u);
  EXPECT_TRUE(left_parts(next, sha256("another")).value().empty());
  {
    PartFile part = PartFile::open(next, digest, 4096, 3).value();
    ASSERT_TRUE(part.append("x"));
    EXPECT_EQ(left_parts(next, digest).value()[0].size, 4u);
  }
  EXPECT_FALSE(PartFile::open(next, digest, 4096, 9)) << "what was planned with is not there";
  ASSERT_TRUE(next.remove_partials());
  EXPECT_TRUE(left_parts(next, digest).value().empty());
}

}  // namespace
}  // namespace berth::storage
