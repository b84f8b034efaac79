// Frames and detach keys.
#include <gtest/gtest.h>
#include <signal.h>

#include "apps/berth/terminal/detach_keys.h"
#include "apps/berth/terminal/frames.h"
#include "apps/berth/terminal/signals.h"

namespace berth::cli::terminal {
namespace {

std::string frame(int type, std::string_view payload) {
  std::string head(8, '\0');
  head[0] = static_cast<char>(type);
  head[6] = static_cast<char>(payload.size() >> 8);
  head[7] = static_cast<char>(payload.size());
  return head + std::string(payload);
}

TEST(Frames, SplitsInAnyPieces) {
  std::string stream =
      frame(1, "out") + frame(2, "err") + frame(1, "") + frame(1, std::string(300, 'x')) + frame(3, "bad");
  for (size_t piece : {1u, 2u, 5u, 9u, 1000u}) {
    FrameSplitter splitter;
    std::string out;
    std::string err;
    for (size_t at = 0; at < stream.size(); at += piece) {
      ASSERT_TRUE(splitter.feed(std::string_view(stream).substr(at, piece),
                                [&](auto which, std::string_view payload) {
                                  (which == FrameSplitter::Stream::Stderr ? err : out) += payload;
                                }));
    }
    EXPECT_EQ(out, "out" + std::string(300, 'x'));
    EXPECT_EQ(err, "err");
    EXPECT_EQ(splitter.engine_error(), "bad");
  }
}

TEST(Frames, RefusesUnknownTypes) {
  FrameSplitter splitter;
  EXPECT_FALSE(splitter.feed("plain text", [](auto, std::string_view) {}));
}

TEST(DetachKeys, ReadsSequences) {
  EXPECT_EQ(*parse_detach_keys("ctrl-p,ctrl-q"), "\x10\x11");
  EXPECT_EQ(*parse_detach_keys("a,ctrl-[,b"),
            "a\x1b"
            "b");
  EXPECT_EQ(*parse_detach_keys("ctrl-@"), std::string(1, '\0'));
  for (const char* bad : {"", "ab", "ctrl-", "ctrl-A", "ctrl-1", "a,,b"})
    EXPECT_FALSE(parse_detach_keys(bad)) << bad;
}

TEST(DetachKeys, WatchesAcrossReads) {
  DetachWatch watch("\x10\x11");
  EXPECT_FALSE(watch.feed("abc\x10"));
  EXPECT_FALSE(watch.feed("x"));
  EXPECT_FALSE(watch.feed("\x10\x10"));
  EXPECT_TRUE(watch.feed("\x11"));
  EXPECT_FALSE(DetachWatch("").feed("anything"));
}

TEST(Signals, HaveTheNamesOfTheApi) {
  EXPECT_EQ(signal_name(SIGTERM), "TERM");
  EXPECT_EQ(signal_name(SIGWINCH), "WINCH");
  EXPECT_EQ(signal_name(SIGRTMIN + 2), "RTMIN+2");
}

}  // namespace
}  // namespace berth::cli::terminal
