// Follows the frames that the other side of an HTTP/2 connection sends, before gRPC sees them, and refuses
// what only an attack sends: gRPC keeps a header block of any length until it ends, and every stream that is
// opened and reset at once until it has been answered (CVE-2023-44487, CVE-2024-27316 and their like). Pure.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace berth::buildkit {

class Http2Guard {
 public:
  using Time = std::chrono::steady_clock::time_point;
  /// A client's bytes begin with the connection preface, a server's with a frame.
  enum class Sender { Client, Server };

  static constexpr size_t max_header_block = size_t{256} << 10;  ///< bytes, in all of its frames
  static constexpr size_t max_header_frames = 64;                ///< of one block
  /// Streams reset at once, and how many more for each second that passes.
  static constexpr double max_resets = 1000, resets_per_second = 50;

  Http2Guard(Sender sender, Time now);

  /// The next bytes, cut anywhere. Exhausted: a header block is too long, or too many streams are reset.
  /// What is no HTTP/2 is gRPC's to refuse.
  Result<void> consume(std::string_view bytes, Time now);

 private:
  Result<void> begin_frame(Time now);
  Result<void> add_to_block(size_t length, bool ends);
  Result<void> count_reset(Time now);

  static constexpr size_t head_size = 9;
  size_t skip_;  ///< of the preface, or of a frame's payload
  std::array<unsigned char, head_size> head_{};
  size_t head_bytes_ = 0;
  size_t block_bytes_ = 0;
  size_t block_frames_ = 0;
  double resets_left_ = max_resets;
  Time refilled_;
};

}  // namespace berth::buildkit
