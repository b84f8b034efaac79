// The lanes for processors with AVX-512.
#ifdef __AVX512VL__
#include "base/sha256_lanes_kernel.h"

namespace berth::sha256_lanes {

void compress_avx512(uint32_t (&states)[8][kLanes], const uint8_t* const (&messages)[kLanes], size_t blocks) {
  compress(states, messages, blocks);
}

}  // namespace berth::sha256_lanes
#endif
