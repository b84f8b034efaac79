// The compression itself, for the sources that are compiled for one kind of processor each. Not for others.
// On AVX-512 the vectors are still of 256 bits; what it brings is a rotation and any function of three bits
// in one instruction each.
#pragma once

#include <immintrin.h>

#include "base/sha256_lanes.h"

namespace berth::sha256_lanes {
namespace {

constexpr uint32_t kRound[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

using Lanes = __m256i;

inline Lanes sum(Lanes a, Lanes b) {
  return _mm256_add_epi32(a, b);
}

#ifdef __AVX512VL__
template <int bits>
inline Lanes rotated(Lanes value) {
  return _mm256_ror_epi32(value, bits);
}
inline Lanes parity(Lanes a, Lanes b, Lanes c) {
  return _mm256_ternarylogic_epi32(a, b, c, 0x96);
}
inline Lanes choice(Lanes which, Lanes one, Lanes zero) {
  return _mm256_ternarylogic_epi32(which, one, zero, 0xca);
}
inline Lanes majority(Lanes a, Lanes b, Lanes c) {
  return _mm256_ternarylogic_epi32(a, b, c, 0xe8);
}
#else
template <int bits>
inline Lanes rotated(Lanes value) {
  return _mm256_or_si256(_mm256_srli_epi32(value, bits), _mm256_slli_epi32(value, 32 - bits));
}
inline Lanes parity(Lanes a, Lanes b, Lanes c) {
  return _mm256_xor_si256(_mm256_xor_si256(a, b), c);
}
inline Lanes choice(Lanes which, Lanes one, Lanes zero) {
  return _mm256_xor_si256(_mm256_and_si256(which, one), _mm256_andnot_si256(which, zero));
}
inline Lanes majority(Lanes a, Lanes b, Lanes c) {
  return _mm256_or_si256(_mm256_and_si256(a, b), _mm256_and_si256(c, _mm256_or_si256(a, b)));
}
#endif

/// Half a block of every message as eight vectors of big-endian words: word w of all messages in words[w].
inline void load_half(const uint8_t* const (&messages)[kLanes], size_t offset, Lanes* words) {
  const Lanes big_endian = _mm256_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14,
                                           15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
  Lanes rows[8], pairs[8], fours[8];
  for (int i = 0; i < 8; ++i) {
    Lanes bytes = _mm256_loadu_si256(reinterpret_cast<const Lanes*>(messages[i] + offset));
    rows[i] = _mm256_shuffle_epi8(bytes, big_endian);
  }
  for (int i = 0; i < 8; i += 2) {
    pairs[i] = _mm256_unpacklo_epi32(rows[i], rows[i + 1]);
    pairs[i + 1] = _mm256_unpackhi_epi32(rows[i], rows[i + 1]);
  }
  for (int i = 0; i < 8; i += 4) {
    fours[i] = _mm256_unpacklo_epi64(pairs[i], pairs[i + 2]);
    fours[i + 1] = _mm256_unpackhi_epi64(pairs[i], pairs[i + 2]);
    fours[i + 2] = _mm256_unpacklo_epi64(pairs[i + 1], pairs[i + 3]);
    fours[i + 3] = _mm256_unpackhi_epi64(pairs[i + 1], pairs[i + 3]);
  }
  for (int i = 0; i < 4; ++i) {
    words[i] = _mm256_permute2x128_si256(fours[i], fours[i + 4], 0x20);
    words[i + 4] = _mm256_permute2x128_si256(fours[i], fours[i + 4], 0x31);
  }
}

inline void compress(uint32_t (&states)[8][kLanes], const uint8_t* const (&messages)[kLanes], size_t blocks) {
  Lanes state[8];
  for (int i = 0; i < 8; ++i) state[i] = _mm256_loadu_si256(reinterpret_cast<const Lanes*>(states[i]));
  for (size_t block = 0; block < blocks; ++block) {
    Lanes w[16];
    load_half(messages, block * kBlock, w);
    load_half(messages, block * kBlock + kBlock / 2, w + 8);
    Lanes a = state[0], b = state[1], c = state[2], d = state[3];
    Lanes e = state[4], f = state[5], g = state[6], h = state[7];
#pragma GCC unroll 64
    for (unsigned t = 0; t < 64; ++t) {
      if (t >= 16) {
        Lanes near = w[(t + 1) & 15], far = w[(t + 14) & 15];
        Lanes mixed = sum(parity(rotated<7>(near), rotated<18>(near), _mm256_srli_epi32(near, 3)),
                          parity(rotated<17>(far), rotated<19>(far), _mm256_srli_epi32(far, 10)));
        w[t & 15] = sum(sum(w[t & 15], w[(t + 9) & 15]), mixed);
      }
      Lanes word = sum(w[t & 15], _mm256_set1_epi32(static_cast<int>(kRound[t])));
      Lanes first =
          sum(sum(h, word), sum(choice(e, f, g), parity(rotated<6>(e), rotated<11>(e), rotated<25>(e))));
      Lanes second = sum(majority(a, b, c), parity(rotated<2>(a), rotated<13>(a), rotated<22>(a)));
      h = g;
      g = f;
      f = e;
      e = sum(d, first);
      d = c;
      c = b;
      b = a;
      a = sum(first, second);
    }
    const Lanes after[8] = {a, b, c, d, e, f, g, h};
    for (int i = 0; i < 8; ++i) state[i] = sum(state[i], after[i]);
  }
  for (int i = 0; i < 8; ++i) _mm256_storeu_si256(reinterpret_cast<Lanes*>(states[i]), state[i]);
}

}  // namespace
}  // namespace berth::sha256_lanes
