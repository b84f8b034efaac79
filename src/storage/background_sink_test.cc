// BackgroundSink: order, bounds, errors, and being given up.
#include "storage/background_sink.h"

#include <gtest/gtest.h>

namespace berth::storage {
namespace {

std::string pattern(size_t size) {
  std::string text(size, '\0');
  for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 31 + i / 251);
  return text;
}

TEST(BackgroundSink, PassesEverythingOnInOrder) {
  std::string text = pattern(5'000'000);
  StringSink next;
  BackgroundSink sink(next);
  for (size_t at = 0, step = 1; at < text.size(); at += step, step = step * 7 % 700'001 + 1)
    ASSERT_TRUE(sink.write(std::string_view(text).substr(at, step)));
  ASSERT_TRUE(sink.finish());
  EXPECT_EQ(next.text, text);
}

TEST(BackgroundSink, NothingIsNothing) {
  StringSink next;
  BackgroundSink sink(next);
  ASSERT_TRUE(sink.finish());
  EXPECT_EQ(next.text, "");
}

class Failing : public ByteSink {
 public:
  Result<void> write(std::string_view) override { return Error(Kind::Exhausted, "full"); }
};

TEST(BackgroundSink, ErrorsOfTheNextComeBack) {
  Failing next;
  BackgroundSink sink(next);
  std::string text = pattern(1 << 20);
  Result<void> done;
  for (int i = 0; i < 16 && done; ++i) done = sink.write(text);
  ASSERT_FALSE(done) << "more than the ring holds cannot have been taken";
  EXPECT_EQ(done.error().kind(), Kind::Exhausted);
  EXPECT_FALSE(sink.finish());
}

TEST(BackgroundSink, MayBeGivenUpInTheMiddle) {
  StringSink next;
  std::string text = pattern(1 << 20);
  {
    BackgroundSink sink(next);
    ASSERT_TRUE(sink.write(text));
  }
  EXPECT_TRUE(text.starts_with(next.text));
}

}  // namespace
}  // namespace berth::storage
