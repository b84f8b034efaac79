// What passes the guard of HTTP/2 connections, and what does not.
#include "apps/buildkit/http2_guard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace berth::buildkit {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using Sender = Http2Guard::Sender;

constexpr Http2Guard::Time start{};
constexpr int data = 0, headers = 1, reset_stream = 3, settings = 4, continuation = 9;
constexpr int end_headers = 4;
const std::string preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

std::string frame(int type, int flags, size_t length) {
  std::string text = {static_cast<char>(length >> 16),
                      static_cast<char>(length >> 8),
                      static_cast<char>(length),
                      static_cast<char>(type),
                      static_cast<char>(flags),
                      0,
                      0,
                      0,
                      1};
  return text + std::string(length, '\x09');
}

std::string repeated(const std::string& text, size_t times) {
  std::string all;
  for (size_t i = 0; i < times; ++i) all += text;
  return all;
}

TEST(Http2Guard, CallsPassHoweverTheirBytesAreCut) {
  const std::string call = frame(headers, end_headers, 200) + frame(data, 1, 70'000);
  const std::string all = preface + frame(settings, 0, 0) + repeated(call, 50);
  for (size_t piece : {size_t{1}, size_t{7}, size_t{4096}, all.size()}) {
    Http2Guard guard(Sender::Client, start);
    for (size_t at = 0; at < all.size(); at += piece)
      ASSERT_TRUE(guard.consume(std::string_view(all).substr(at, piece), start)) << piece << " " << at;
  }
}

TEST(Http2Guard, AServerSendsNoPreface) {
  Http2Guard guard(Sender::Server, start);
  const std::string endless = repeated(frame(continuation, 0, 16'000), 17);
  EXPECT_FALSE(guard.consume(frame(headers, 0, 10) + endless, start));
}

TEST(Http2Guard, HeadersEnd) {
  Http2Guard large(Sender::Client, start);
  ASSERT_TRUE(
      large.consume(preface + frame(headers, 0, 10) + repeated(frame(continuation, 0, 16'000), 16), start));
  auto refused = large.consume(frame(continuation, 0, 16'000), start);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind(), Kind::Exhausted);
  EXPECT_THAT(refused.error().message(), HasSubstr("headers do not end"));

  Http2Guard many(Sender::Client, start);
  EXPECT_TRUE(many.consume(preface + frame(headers, 0, 10) + repeated(frame(continuation, 0, 0), 63), start));
  EXPECT_FALSE(many.consume(frame(continuation, 0, 0), start));

  Http2Guard ending(Sender::Client, start);
  const std::string block = frame(headers, 0, 10) + repeated(frame(continuation, 0, 16'000), 15) +
                            frame(continuation, end_headers, 10);
  EXPECT_TRUE(ending.consume(preface + repeated(block, 20), start));
}

TEST(Http2Guard, StreamsAreResetNowAndThen) {
  Http2Guard guard(Sender::Client, start);
  const std::string reset = frame(headers, end_headers, 20) + frame(reset_stream, 0, 4);
  ASSERT_TRUE(guard.consume(preface + repeated(reset, 1000), start));
  EXPECT_FALSE(guard.consume(reset, start + 10ms));
  Http2Guard patient(Sender::Client, start);
  ASSERT_TRUE(patient.consume(preface, start));
  for (int second = 1; second <= 100; ++second)
    ASSERT_TRUE(patient.consume(repeated(reset, 50), start + second * 1s)) << second;
}

}  // namespace
}  // namespace berth::buildkit
