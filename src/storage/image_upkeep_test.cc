// What the quota takes first, and the rows of pins and uses.
#include "storage/image_upkeep.h"

#include <gtest/gtest.h>

#include "base/sha256.h"
#include "storage/image_table.h"
#include "storage/testing.h"

namespace berth::storage {
namespace {

Timestamp at(int64_t second) {
  return from_unix_nanoseconds(second * 1'000'000'000);
}

TEST(LeastRecentlyUsed, TakesTheOldestThatNobodyKeeps) {
  std::vector<CollectionCandidate> candidates = {
      {sha256("a"), at(30)}, {sha256("b"), at(10), true}, {sha256("c"), at(20)}, {sha256("d"), at(40)}};
  EXPECT_EQ(choose_least_recently_used(candidates, at(100)).image, sha256("c"));
  EXPECT_FALSE(choose_least_recently_used(candidates, at(100)).spared);
}

TEST(LeastRecentlyUsed, SparesWhatWasJustUsed) {
  std::vector<CollectionCandidate> candidates = {{sha256("a"), at(30)}, {sha256("b"), at(10), true}};
  auto choice = choose_least_recently_used(candidates, at(29));
  EXPECT_FALSE(choice.image);
  EXPECT_TRUE(choice.spared);
  EXPECT_FALSE(choose_least_recently_used({{sha256("b"), at(10), true}}, at(29)).spared);
  EXPECT_FALSE(choose_least_recently_used({}, at(29)).image);
}

TEST(ImageUpkeep, KeepsPinsAndTheLatestUse) {
  TempDir directory;
  auto database = *Database::open(directory.path() + "/state.db");
  ImageTable images(*database);
  ASSERT_TRUE(images.create());
  ImageUpkeep upkeep(*database);
  ASSERT_TRUE(upkeep.create());
  ASSERT_TRUE(upkeep.pin("docker.io/library/x:1") && upkeep.pin("docker.io/library/x:1"));
  EXPECT_EQ(upkeep.pins()->size(), 1u);
  EXPECT_TRUE(*upkeep.unpin("docker.io/library/x:1"));
  EXPECT_FALSE(*upkeep.unpin("docker.io/library/x:1"));

  ASSERT_TRUE(images.insert({.id = sha256("there"), .last_tagged = at(1)}));
  ASSERT_TRUE(upkeep.note_uses({{sha256("there"), at(5)}, {sha256("gone"), at(5)}}));
  ASSERT_TRUE(upkeep.note_uses({{sha256("there"), at(4)}}));
  auto uses = upkeep.last_uses();
  ASSERT_TRUE(uses);
  EXPECT_EQ(*uses, (std::map<Digest, Timestamp>{{sha256("there"), at(5)}}));
}

}  // namespace
}  // namespace berth::storage
