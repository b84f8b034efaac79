// Deflate blocks and stored blocks in turn (RFC 1951), in one gzip member (RFC 1952).
#include "storage/gzip_sink.h"

#include <isa-l/crc.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace berth::storage {
namespace {

constexpr size_t buffer_size = 256 * 1024;
/// What is judged as one.
constexpr size_t unit = 2048;
/// Shorter stretches are not worth the matches that are lost behind them.
constexpr size_t shortest_stored = 6 * unit;
/// Between stored ones, up to here: coded by the fixed code, in half the time and 15 % longer.
constexpr size_t short_piece = 24 * 1024;
constexpr size_t largest_stored_block = 65535;
constexpr std::string_view header("\x1f\x8b\x08\0\0\0\0\0\0\xff", 10);

/// By 128 bytes taken from all over it. The sum of the squares of how often each value occurs is 192 for
/// random bytes with a deviation of 11, hardly more for what deflate and zstd write, above 400 for machine
/// code, 1,000 for text.
bool incompressible(const char* bytes) {
  constexpr size_t stretch = 16;
  constexpr size_t step = unit / 128 * stretch;
  constexpr uint32_t limit = 225;
  std::array<uint8_t, 256> counts{};
  uint32_t squares = 0;
  for (size_t begin = 0; begin < unit; begin += step) {
    for (size_t at = begin; at < begin + stretch; ++at)
      squares += 2 * uint32_t{counts[static_cast<uint8_t>(bytes[at])]++} + 1;
    if (squares > limit) return false;
  }
  return true;
}

void little_endian(char* out, uint32_t value, size_t bytes) {
  for (size_t i = 0; i < bytes; ++i) out[i] = static_cast<char>(value >> (8 * i));
}

}  // namespace

GzipSink::GzipSink(ByteSink& sink)
    : sink_(sink), level_buffer_(ISAL_DEF_LVL2_DEFAULT), input_(buffer_size), output_(buffer_size) {
  isal_deflate_init(stream_.get());
  stream_->level = 2;  // level 3 takes 2.5 to 3 times as long for 4 to 7 % less
  stream_->level_buf = level_buffer_.data();
  stream_->level_buf_size = static_cast<uint32_t>(level_buffer_.size());
  stream_->gzip_flag = IGZIP_DEFLATE;
  isal_deflate_init(short_stream_.get());
  short_stream_->level = 0;
  isal_deflate_set_hufftables(short_stream_.get(), nullptr, IGZIP_HUFFTABLE_STATIC);
  short_stream_->gzip_flag = IGZIP_DEFLATE;
  std::memcpy(output_.data(), header.data(), header.size());
  used_ = header.size();
}

Result<void> GzipSink::write(std::string_view bytes) {
  while (!bytes.empty()) {
    size_t count = std::min(bytes.size(), input_.size() - filled_);
    std::memcpy(input_.data() + filled_, bytes.data(), count);
    filled_ += count;
    bytes.remove_prefix(count);
    if (filled_ == input_.size()) CHECK(drain(Last::No));
  }
  return {};
}

Result<void> GzipSink::drain(Last last) {
  std::string_view input(input_.data(), filled_);
  size_t begin = 0;
  size_t at = dense_;
  for (; at + unit <= input.size(); at += unit) {
    if (incompressible(input.data() + at)) {
      dense_ += unit;
    } else {
      if (storing_) {
        CHECK(store(input.substr(begin, at - begin)));
        begin = at;
        storing_ = false;
      }
      dense_ = 0;
    }
    if (!storing_ && dense_ == shortest_stored) {
      size_t first = at + unit - dense_;
      CHECK(deflate(input.substr(begin, first - begin), After::Flush));
      begin = first;
      storing_ = true;
    }
  }
  if (storing_) {
    CHECK(store(input.substr(begin, at - begin)));
    begin = at;
    dense_ = 0;
  }
  if (last == Last::Yes) return deflate(input.substr(begin), After::End);
  CHECK(deflate(input.substr(begin, at - dense_ - begin), After::GoOn));
  std::memmove(input_.data(), input_.data() + at - dense_, dense_);
  filled_ = dense_;
  return {};
}

Result<void> GzipSink::deflate(std::string_view bytes, After after) {
  if (after == After::GoOn && bytes.empty()) return {};
  if (after == After::Flush && bytes.empty() && !deflated_) return {};
  bool alone = after == After::Flush && !deflated_ && bytes.size() <= short_piece;
  deflated_ = after == After::GoOn;
  crc_ = crc32_gzip_refl(crc_, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  size_ += bytes.size();
  return run(alone ? *short_stream_ : *stream_, bytes, after);
}

Result<void> GzipSink::run(isal_zstream& stream, std::string_view bytes, After after) {
  stream.next_in = reinterpret_cast<uint8_t*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uint32_t>(bytes.size());
  stream.end_of_stream = after == After::End ? 1 : 0;
  stream.flush = after == After::Flush ? FULL_FLUSH : NO_FLUSH;
  do {
    if (used_ == output_.size()) CHECK(pass_on());
    stream.next_out = reinterpret_cast<uint8_t*>(output_.data() + used_);
    stream.avail_out = static_cast<uint32_t>(output_.size() - used_);
    if (isal_deflate(&stream) != COMP_OK) return Error(Kind::Internal, "gzip compression failed");
    used_ = output_.size() - stream.avail_out;
  } while (stream.avail_out == 0 || stream.avail_in > 0);
  return {};
}

Result<void> GzipSink::store(std::string_view bytes) {
  crc_ = crc32_gzip_refl(crc_, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  size_ += bytes.size();
  while (!bytes.empty()) {
    std::string_view block = bytes.substr(0, largest_stored_block);
    auto length = static_cast<uint32_t>(block.size());
    std::array<char, 5> head{};  // not the last block, type 0
    little_endian(head.data() + 1, length, 2);
    little_endian(head.data() + 3, ~length, 2);
    CHECK(put({head.data(), head.size()}));
    CHECK(put(block));
    bytes.remove_prefix(block.size());
  }
  return {};
}

Result<void> GzipSink::put(std::string_view bytes) {
  while (!bytes.empty()) {
    if (used_ == output_.size()) CHECK(pass_on());
    size_t count = std::min(bytes.size(), output_.size() - used_);
    std::memcpy(output_.data() + used_, bytes.data(), count);
    used_ += count;
    bytes.remove_prefix(count);
  }
  return {};
}

Result<void> GzipSink::pass_on() {
  CHECK(sink_.write({output_.data(), used_}));
  used_ = 0;
  return {};
}

Result<void> GzipSink::finish() {
  CHECK(drain(Last::Yes));
  std::array<char, 8> trailer{};
  little_endian(trailer.data(), crc_, 4);
  little_endian(trailer.data() + 4, static_cast<uint32_t>(size_), 4);
  CHECK(put({trailer.data(), trailer.size()}));
  return pass_on();
}

}  // namespace berth::storage
