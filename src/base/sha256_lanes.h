// SHA-256's compression of eight messages side by side, a message in each lane of a vector (FIPS 180-4). For
// processors without SHA instructions, where it has three to five times the throughput of one message after
// the other.
#pragma once

#include <cstddef>
#include <cstdint>

namespace berth::sha256_lanes {

constexpr size_t kLanes = 8;
constexpr size_t kBlock = 64;  ///< bytes

/// states[word][lane]: the chaining values. Takes `blocks` blocks from each of the messages.
using Compress = void (*)(uint32_t (&states)[8][kLanes], const uint8_t* const (&messages)[kLanes],
                          size_t blocks);

struct Method {
  Compress compress = nullptr;
  /// With fewer messages, one after the other is as fast: the lanes cost the same whether they are used or
  /// not.
  size_t fewest = 0;
};
/// The fastest that this processor has. Without a function: none, or one message after the other is as fast
/// (SHA instructions).
Method best();

void compress_avx2(uint32_t (&states)[8][kLanes], const uint8_t* const (&messages)[kLanes], size_t blocks);
void compress_avx512(uint32_t (&states)[8][kLanes], const uint8_t* const (&messages)[kLanes], size_t blocks);

}  // namespace berth::sha256_lanes
