#include "apps/buildkit/history.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/sha256.h"

namespace berth::buildkit {
namespace {

namespace pb = moby::buildkit::v1;

class HistoryTest : public testing::Test {
 protected:
  HistoryTest() : directory_(std::filesystem::path(testing::TempDir()) / "berth-history") {
    std::filesystem::remove_all(directory_);
  }
  ~HistoryTest() override { std::filesystem::remove_all(directory_); }

  static pb::BuildHistoryRecord record(const std::string& ref, int64_t seconds) {
    pb::BuildHistoryRecord record;
    record.set_ref(ref);
    record.mutable_created_at()->set_seconds(seconds);
    return record;
  }
  static void add(History& history, const std::string& ref, int64_t seconds, size_t log_bytes = 0,
                  std::vector<std::string> blobs = {}) {
    pb::StatusResponse first;
    first.add_vertexes()->set_name("step");
    pb::StatusResponse second;
    second.add_logs()->set_msg(std::string(log_bytes, 'x'));
    history.begin(record(ref, seconds));
    history.complete(record(ref, seconds), {first, second}, std::move(blobs));
  }
  static std::vector<std::string> refs(History& history) {
    std::vector<std::string> refs;
    history.listen(
        {.early_exit = true},
        [&](const pb::BuildHistoryEvent& event) {
          refs.push_back(event.record().ref());
          return true;
        },
        [] { return false; });
    return refs;
  }

  std::filesystem::path directory_;
};

using Refs = std::vector<std::string>;

TEST_F(HistoryTest, TheOldestThatIsNotPinnedGoesFirst) {
  History history(directory_, {.max_builds = 3});
  for (const auto& [ref, seconds] : {std::pair{"b", 2}, {"a", 1}, {"c", 3}}) add(history, ref, seconds);
  ASSERT_TRUE(history.pin("a", true));
  add(history, "d", 4);
  EXPECT_EQ(refs(history), (Refs{"a", "c", "d"}));
  EXPECT_FALSE(history.contains("b"));
  EXPECT_EQ(refs(*std::make_unique<History>(directory_)), (Refs{"a", "c", "d"}));
}

TEST_F(HistoryTest, BytesAreBounded) {
  History history(directory_, {.max_bytes = 3000, .max_build_bytes = 1500});
  for (int i = 0; i < 5; ++i) add(history, std::to_string(i), i, 1000);
  EXPECT_LT(refs(history).size(), 4u);
  EXPECT_EQ(refs(history).back(), "4");
  // A log that is too long is left out, and what the steps were stays.
  add(history, "long", 9, 1 << 20);
  const auto progress = history.progress("long");
  ASSERT_TRUE(progress);
  ASSERT_FALSE(progress->empty());
  EXPECT_EQ(progress->front().vertexes(0).name(), "step");
  for (const auto& message : *progress) EXPECT_EQ(message.logs_size(), 0);
}

TEST_F(HistoryTest, BlobsAreFoundByTheirDigest) {
  {
    History writing(directory_);
    add(writing, "a", 1, 0, {"provenance"});
  }
  History history(directory_);
  const auto blob = history.blob(sha256("provenance"));
  ASSERT_TRUE(blob);
  EXPECT_EQ(*blob, "provenance");
  EXPECT_EQ(history.blob(sha256("other")).error().kind(), Kind::NotFound);
  ASSERT_TRUE(history.remove("a"));
  EXPECT_FALSE(history.blob(sha256("provenance")));
}

TEST_F(HistoryTest, WhatIsNoBuildIsRemoved) {
  {
    History writing(directory_);
    add(writing, "a", 1);
  }
  std::ofstream(directory_ / "half.build") << "\xff\xff not a message";
  History history(directory_);
  EXPECT_EQ(refs(history), (Refs{"a"}));
  EXPECT_FALSE(std::filesystem::exists(directory_ / "half.build"));
}

TEST_F(HistoryTest, BuildsThatRunCannotBeRemovedOrPinned) {
  History history(directory_, {.max_pinned = 1});
  history.begin(record("runs", 1));
  EXPECT_EQ(history.remove("runs").error().kind(), Kind::WrongState);
  EXPECT_EQ(history.pin("runs", true).error().kind(), Kind::WrongState);
  EXPECT_EQ(history.remove("none").error().kind(), Kind::NotFound);
  add(history, "a", 1);
  add(history, "b", 2);
  EXPECT_TRUE(history.pin("a", true));
  EXPECT_EQ(history.pin("b", true).error().kind(), Kind::Exhausted);
}

}  // namespace
}  // namespace berth::buildkit
