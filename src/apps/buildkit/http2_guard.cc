// Frames by RFC 9113, 4.1: a length of three bytes, a type, flags, and the stream's number.
#include "apps/buildkit/http2_guard.h"

#include <algorithm>

namespace berth::buildkit {
namespace {

constexpr std::string_view preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr unsigned char headers = 1, reset_stream = 3, push_promise = 5, continuation = 9;
constexpr unsigned char end_headers = 4;

}  // namespace

Http2Guard::Http2Guard(Sender sender, Time now)
    : skip_(sender == Sender::Client ? preface.size() : 0), refilled_(now) {}

Result<void> Http2Guard::consume(std::string_view bytes, Time now) {
  while (!bytes.empty()) {
    if (skip_ > 0) {
      const size_t passed = std::min(skip_, bytes.size());
      skip_ -= passed;
      bytes.remove_prefix(passed);
      continue;
    }
    const size_t taken = std::min(head_size - head_bytes_, bytes.size());
    std::copy_n(bytes.begin(), taken, head_.begin() + static_cast<ptrdiff_t>(head_bytes_));
    head_bytes_ += taken;
    bytes.remove_prefix(taken);
    if (head_bytes_ == head_size) CHECK(begin_frame(now));
  }
  return {};
}

Result<void> Http2Guard::begin_frame(Time now) {
  const size_t length = size_t{head_[0]} << 16 | size_t{head_[1]} << 8 | head_[2];
  const unsigned char type = head_[3], flags = head_[4];
  head_bytes_ = 0;
  skip_ = length;
  if (type == headers || type == push_promise || type == continuation)
    return add_to_block(length, (flags & end_headers) != 0);
  if (type == reset_stream) return count_reset(now);
  return {};
}

Result<void> Http2Guard::add_to_block(size_t length, bool ends) {
  block_bytes_ += length;
  ++block_frames_;
  if (block_bytes_ > max_header_block || block_frames_ > max_header_frames)
    return Error(Kind::Exhausted, "a call's headers do not end");
  if (ends) block_bytes_ = block_frames_ = 0;
  return {};
}

Result<void> Http2Guard::count_reset(Time now) {
  const std::chrono::duration<double> passed = now - refilled_;
  refilled_ = now;
  resets_left_ = std::min(max_resets, resets_left_ + passed.count() * resets_per_second);
  if (resets_left_ < 1) return Error(Kind::Exhausted, "too many calls are given up at once");
  resets_left_ -= 1;
  return {};
}

}  // namespace berth::buildkit
