// LogCursor: lines, frames, tail, times, rotation while following, torn records.
#include "engine/log_cursor.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace berth::engine {
namespace {

using launch::LogStream;

class LogCursorTest : public testing::Test {
 protected:
  LogCursorTest() {
    char name[] = "/tmp/berth-log-XXXXXX";
    directory_ = ::mkdtemp(name);
    path_ = directory_ + "/log";
  }
  ~LogCursorTest() override { std::filesystem::remove_all(directory_); }

  void append(LogStream stream, std::string_view bytes, uint64_t time = 1'000'000'000) {
    launch::LogHeader header{time, static_cast<uint32_t>(bytes.size()), static_cast<uint8_t>(stream), 0};
    std::ofstream file(path_, std::ios::app | std::ios::binary);
    file.write(reinterpret_cast<const char*>(&header), sizeof header);
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }
  std::string all(LogQuery query) {
    LogCursor cursor = LogCursor::open(path_, query).value();
    std::string out;
    while (cursor.read(out, 64).value() == LogCursor::State::More) {
    }
    cursor.flush(out);
    return out;
  }

  std::string directory_;
  std::string path_;
  LogQuery raw_{.framing = LogFraming::Raw};
};

TEST_F(LogCursorTest, MissingLogIsEmpty) {
  EXPECT_EQ(all(raw_), "");
}

TEST_F(LogCursorTest, JoinsLinesPerStreamAndFramesThem) {
  append(LogStream::Stdout, "hel");
  append(LogStream::Stderr, "err\n");
  append(LogStream::Stdout, "lo\nnext\n");
  std::string expected("\x02\0\0\0\0\0\0\x04", 8);
  expected += "err\n";
  expected += std::string("\x01\0\0\0\0\0\0\x06", 8) + "hello\n";
  expected += std::string("\x01\0\0\0\0\0\0\x05", 8) + "next\n";
  EXPECT_EQ(all({}), expected);
  EXPECT_EQ(all({.standard_output = false, .framing = LogFraming::Raw}), "err\n");
}

TEST_F(LogCursorTest, TailCountsUnfinishedLinesAndCrossesRotation) {
  append(LogStream::Stdout, "1\n2\n3\n");
  std::filesystem::rename(path_, path_ + ".1");
  append(LogStream::Stdout, "4\n5");
  LogQuery query = raw_;
  query.tail = 3;
  EXPECT_EQ(all(query), "3\n4\n5");
  query.tail = 100;
  EXPECT_EQ(all(query), "1\n2\n3\n4\n5");
  query.tail = 0;
  EXPECT_EQ(all(query), "");
}

TEST_F(LogCursorTest, AFastWriterDoesNotKeepAReaderFromItsEnd) {
  append(LogStream::Stdout, "1\n2\n");
  LogQuery query = raw_;
  query.extent = LogExtent::AsOfNow;
  LogCursor cursor = LogCursor::open(path_, query).value();
  append(LogStream::Stdout, "3\n");
  std::filesystem::rename(path_, path_ + ".1");
  append(LogStream::Stdout, "4\n");
  std::string out;
  EXPECT_EQ(cursor.read(out).value(), LogCursor::State::CaughtUp);
  EXPECT_EQ(out, "1\n2\n");
}

TEST_F(LogCursorTest, SinceUntilAndTimestamps) {
  append(LogStream::Stdout, "a\n", 1'000'000'000);
  append(LogStream::Stdout, "b\n", 2'000'000'000);
  append(LogStream::Stdout, "c\n", 3'000'000'000);
  LogQuery query = raw_;
  query.since = from_unix_nanoseconds(2'000'000'000);
  query.until = from_unix_nanoseconds(2'500'000'000);
  query.timestamps = LogTimestamps::Yes;
  EXPECT_EQ(all(query), "1970-01-01T00:00:02.000000000Z b\n");
}

TEST_F(LogCursorTest, FollowsThroughRotation) {
  append(LogStream::Stdout, "1\n");
  LogCursor cursor = LogCursor::open(path_, raw_).value();
  std::string out;
  EXPECT_EQ(cursor.read(out).value(), LogCursor::State::CaughtUp);
  append(LogStream::Stdout, "2\npart");
  std::filesystem::rename(path_, path_ + ".1");
  append(LogStream::Stdout, "ial\n");
  std::filesystem::rename(path_ + ".1", path_ + ".2");
  std::filesystem::rename(path_, path_ + ".1");
  append(LogStream::Stdout, "4\n");
  EXPECT_EQ(cursor.read(out).value(), LogCursor::State::CaughtUp);
  EXPECT_EQ(out, "1\n2\npartial\n4\n");
}

TEST_F(LogCursorTest, CutsLongLinesAsDockerDoes) {
  append(LogStream::Stdout, std::string(20000, 'x') + "\n");
  std::string out = all({});
  EXPECT_EQ(out.size(), 20001u + 16);
  LogQuery query = raw_;
  query.tail = 1;
  EXPECT_EQ(all(query), std::string(20000 - 16384, 'x') + "\n");
}

TEST_F(LogCursorTest, GoesOnBehindATornRecord) {
  append(LogStream::Stdout, "first\n");
  {
    launch::LogHeader header{1, 5000, 1, 0};
    std::ofstream file(path_, std::ios::app | std::ios::binary);
    file.write(reinterpret_cast<const char*>(&header), 10);  // the write was cut
  }
  append(LogStream::Stdout, "second\n");
  EXPECT_EQ(all(raw_), "first\nsecond\n");
}

}  // namespace
}  // namespace berth::engine
