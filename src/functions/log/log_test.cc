// Log groups in files: records, bounds, what is read back after the process has gone.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include "functions/log/file_log.h"
#include "functions/log/record.h"
#include "sys/file.h"

namespace berth::functions {
namespace {

class LogTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/berth-log-test-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    directory_ = name;
  }
  void TearDown() override { (void)sys::remove_tree(directory_); }

  std::unique_ptr<FileFunctionLog> open(uint64_t segment_bytes = 8u << 20) {
    auto log = FileFunctionLog::open(
        loop_, {.directory = directory_, .segment_bytes = segment_bytes, .segments = 3});
    EXPECT_TRUE(log.has_value());
    return std::move(*log);
  }
  std::vector<LogEvent> read(FileFunctionLog& log, LogQuery query) {
    auto events = loop_.run_until_complete(log.read(realm_, std::move(query)));
    EXPECT_TRUE(events.has_value());
    return events ? *events : std::vector<LogEvent>();
  }

  io::EventLoop loop_;
  Realm realm_;
  std::string directory_;
};

TEST(LogRecord, RoundTripsAndStopsAtWhatIsTorn) {
  std::string bytes;
  append_log_record(bytes,
                    {.sequence = 7, .time_ms = 1, .ingestion_ms = 2, .stream = "s", .message = "hello\n"});
  append_log_record(bytes, {.sequence = 8, .time_ms = 1, .ingestion_ms = 2, .stream = "s", .message = "x"});
  LogRecordReader reader(std::string_view(bytes).substr(0, bytes.size() - 1));
  auto first = reader.next();
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(first->sequence, 7u);
  EXPECT_EQ(first->message, "hello\n");
  EXPECT_FALSE(reader.next().has_value());
  bytes[0] ^= 1;
  EXPECT_FALSE(LogRecordReader(bytes).next().has_value());
}

TEST_F(LogTest, WhatIsAppendedIsReadInOrder) {
  auto log = open();
  log->append(realm_, "/aws/lambda/f", "one", 1000, "a\n");
  log->append(realm_, "/aws/lambda/f", "two", 2000, "b\n");
  log->append(realm_, "/aws/lambda/f", "one", 3000, "c\n");
  auto all = read(*log, {.group = "/aws/lambda/f"});
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[2].message, "c\n");
  EXPECT_LT(all[0].sequence, all[1].sequence);
  EXPECT_EQ(read(*log, {.group = "/aws/lambda/f", .streams = {"one"}}).size(), 2u);
  EXPECT_EQ(read(*log, {.group = "/aws/lambda/f", .stream_prefix = "tw"}).size(), 1u);
  EXPECT_EQ(read(*log, {.group = "/aws/lambda/f", .from_ms = 2000, .until_ms = 3000}).size(), 1u);
  EXPECT_EQ(read(*log, {.group = "/aws/lambda/f", .after_sequence = all[1].sequence}).size(), 1u);
  EXPECT_EQ(read(*log, {.group = "/aws/lambda/f", .limit = 2}).size(), 2u);
  auto streams = log->streams(realm_, "/aws/lambda/f", "");
  ASSERT_TRUE(streams.has_value());
  ASSERT_EQ(streams->size(), 2u);
  EXPECT_EQ((*streams)[0].first_ms, 1000);
  EXPECT_EQ((*streams)[0].last_ms, 3000);
}

TEST_F(LogTest, FlushedLinesOutliveTheProcess) {
  {
    auto log = open();
    log->append(realm_, "g", "s", 1, "kept\n");
    log->flush();
    // What a kill -9 leaves: no destructor flushes, the segment may end in a torn record.
    auto entries = sys::list_dir(directory_);
    ASSERT_TRUE(entries.has_value());
    ASSERT_EQ(entries->size(), 1u);
    std::string group = directory_ + "/" + entries->front().name;
    auto files = sys::list_dir(group);
    for (const auto& file : *files) {
      if (!file.name.ends_with(".log")) continue;
      sys::UniqueFd fd(::open((group + "/" + file.name).c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
      ASSERT_EQ(::write(fd.get(), "BRFLtorn", 8), 8);
    }
  }
  auto log = open();
  log->append(realm_, "g", "s", 2, "later\n");
  auto events = read(*log, {.group = "g"});
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].message, "kept\n");
  EXPECT_EQ(events[1].message, "later\n");
  EXPECT_EQ(log->streams(realm_, "g", "")->front().stored_bytes, 11u);
}

TEST_F(LogTest, AGroupIsBounded) {
  auto log = open(/*segment_bytes=*/10'000);
  std::string line(900, 'x');
  for (int i = 0; i < 200; ++i) {
    log->append(realm_, "g", "s", i, line + std::to_string(i));
    log->flush();
  }
  auto groups = log->groups(realm_, "");
  ASSERT_EQ(groups->size(), 1u);
  EXPECT_LE(groups->front().stored_bytes, 3u * 10'000);
  auto events = read(*log, {.group = "g"});
  ASSERT_FALSE(events.empty());
  EXPECT_TRUE(events.back().message.ends_with("199"));
}

TEST_F(LogTest, LongMessagesAreSplit) {
  auto log = open();
  log->append(realm_, "g", "s", 1, std::string(kMaxLogMessage + 10, 'y'));
  auto events = read(*log, {.group = "g"});
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[1].message.size(), 10u);
}

TEST_F(LogTest, GroupsAreMadeAndRemovedByHand) {
  auto log = open();
  EXPECT_TRUE(log->create_group(realm_, "mine").has_value());
  EXPECT_EQ(log->create_group(realm_, "mine").error().kind(), Kind::AlreadyExists);
  EXPECT_EQ(log->create_group(realm_, "not allowed").error().kind(), Kind::InvalidArgument);
  EXPECT_TRUE(log->create_stream(realm_, "mine", "s").has_value());
  EXPECT_EQ(log->create_stream(realm_, "mine", "s").error().kind(), Kind::AlreadyExists);
  EXPECT_EQ(log->streams(realm_, "mine", "")->size(), 1u);
  EXPECT_TRUE(read(*log, {.group = "mine"}).empty());
  EXPECT_TRUE(log->set_retention(realm_, "mine", 7).has_value());
  EXPECT_EQ(log->groups(realm_, "mi")->front().retention_days, 7u);
  Realm other{.account = "111111111111"};
  EXPECT_TRUE(log->groups(other, "")->empty());
  EXPECT_TRUE(log->remove_group(realm_, "mine").has_value());
  auto gone = loop_.run_until_complete(log->read(realm_, {.group = "mine"}));
  EXPECT_EQ(gone.error().message(), "The specified log group does not exist.");
}

TEST_F(LogTest, ARemovedStreamIsNotSeenAgain) {
  {
    auto log = open();
    log->append(realm_, "g", "old", 1, "gone");
    log->append(realm_, "g", "other", 2, "stays");
    EXPECT_EQ(log->remove_stream(realm_, "g", "none").error().kind(), Kind::NotFound);
    EXPECT_TRUE(log->remove_stream(realm_, "g", "old").has_value());
    EXPECT_EQ(log->remove_stream(realm_, "g", "old").error().kind(), Kind::NotFound);
    EXPECT_EQ(read(*log, {.group = "g"}).size(), 1u);
    log->append(realm_, "g", "old", 3, "anew");
  }
  auto log = open();
  auto events = read(*log, {.group = "g", .streams = {"old"}});
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].message, "anew");
  EXPECT_EQ(log->streams(realm_, "g", "old")->front().first_ms, 3);
}

TEST_F(LogTest, FollowersAreWokenByNewEvents) {
  auto log = open();
  log->append(realm_, "g", "s", 1, "first");
  uint64_t seen = read(*log, {.group = "g"}).back().sequence;
  auto later = [](io::EventLoop& loop, FileFunctionLog& to, Realm realm) -> io::Task<void> {
    co_await loop.yield();
    to.append(realm, "g", "s", 2, "second");
  };
  loop_.spawn(later(loop_, *log, realm_));
  uint64_t newest = loop_.run_until_complete(log->wait_for_more(realm_, "g", seen));
  EXPECT_GT(newest, seen);
}

}  // namespace
}  // namespace berth::functions
