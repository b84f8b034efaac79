// Digests are OpenSSL's, however many threads meet and however their pieces are cut.
#include "base/sha256_together.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>

#include <array>
#include <random>
#include <thread>
#include <vector>

#include "base/bytes.h"
#include "base/sha256.h"
#include "base/sha256_lanes.h"

namespace berth {
namespace {

std::string reference(std::string_view bytes) {
  std::vector<uint8_t> value(EVP_MAX_MD_SIZE);
  unsigned size = 0;
  EXPECT_EQ(EVP_Digest(bytes.data(), bytes.size(), value.data(), &size, EVP_sha256(), nullptr), 1);
  value.resize(size);
  return to_hex(value);
}

std::string random_bytes(std::mt19937_64& source, size_t size) {
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(source());
  return bytes;
}

/// In pieces of any size, so that blocks begin anywhere in them.
std::string in_pieces(std::mt19937_64& source, std::string_view bytes, size_t largest) {
  Sha256 hash;
  while (!bytes.empty()) {
    size_t size = std::min<size_t>(bytes.size(), source() % largest + 1);
    hash.update(bytes.substr(0, size));
    bytes.remove_prefix(size);
  }
  return hash.finish().hex();
}

TEST(Sha256Together, SizesAroundTheLimits) {
  std::mt19937_64 source(1);
  for (size_t base : {size_t{0}, size_t{64}, kWorthMeeting, kWorthMeeting + 64, size_t{300'000}}) {
    for (size_t more : {0u, 1u, 55u, 56u, 63u, 64u, 65u}) {
      std::string bytes = random_bytes(source, base + more);
      EXPECT_EQ(sha256(bytes).hex(), reference(bytes)) << bytes.size();
      Sha256 whole;
      whole.update(bytes);
      EXPECT_EQ(whole.finish().hex(), reference(bytes)) << bytes.size();
      EXPECT_EQ(in_pieces(source, bytes, 50'000), reference(bytes)) << bytes.size();
    }
  }
}

TEST(Sha256Together, ManyThreads) {
  for (unsigned threads : {2u, 3u, 5u, 8u, 20u}) {
    std::vector<std::jthread> pool;
    for (unsigned number = 0; number < threads; ++number) {
      pool.emplace_back([number] {
        std::mt19937_64 source(number);
        std::string bytes = random_bytes(source, 1'000'000 + number * 777);
        std::string expected = reference(bytes);
        for (int round = 0; round < 5; ++round) EXPECT_EQ(in_pieces(source, bytes, 200'000), expected);
      });
    }
  }
}

#ifdef __x86_64__
/// Each lane against OpenSSL's digest of one whole block and the padding.
void check_lanes(sha256_lanes::Compress compress) {
  using sha256_lanes::kLanes;
  constexpr uint32_t kInitial[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  constexpr size_t kBlocks = 37;
  constexpr size_t kBytes = kBlocks * sha256_lanes::kBlock;
  std::mt19937_64 source(3);
  uint32_t states[8][kLanes];
  std::vector<std::string> padded;
  std::vector<std::string> expected;
  const uint8_t* messages[kLanes];
  for (size_t lane = 0; lane < kLanes; ++lane) {
    std::string bytes = random_bytes(source, kBytes - 64);
    expected.push_back(reference(bytes));
    bytes += '\x80';
    bytes.resize(kBytes - 8, '\0');
    for (int shift = 56; shift >= 0; shift -= 8)
      bytes += static_cast<char>(((kBytes - 64) * 8) >> static_cast<unsigned>(shift));
    padded.push_back(std::move(bytes));
    for (size_t word = 0; word < 8; ++word) states[word][lane] = kInitial[word];
  }
  for (size_t lane = 0; lane < kLanes; ++lane)
    messages[lane] = reinterpret_cast<const uint8_t*>(padded[lane].data());
  compress(states, messages, kBlocks);
  for (size_t lane = 0; lane < kLanes; ++lane) {
    std::vector<uint8_t> digest;
    for (size_t word = 0; word < 8; ++word) {
      for (unsigned shift : {24u, 16u, 8u, 0u}) digest.push_back(uint8_t(states[word][lane] >> shift));
    }
    EXPECT_EQ(to_hex(digest), expected[lane]) << lane;
  }
}

TEST(Sha256Lanes, Avx2) {
  if (!__builtin_cpu_supports("avx2")) GTEST_SKIP() << "this processor has no AVX2";
  check_lanes(sha256_lanes::compress_avx2);
}

TEST(Sha256Lanes, Avx512) {
  if (!__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512bw"))
    GTEST_SKIP() << "this processor has no AVX-512";
  check_lanes(sha256_lanes::compress_avx512);
}
#endif

}  // namespace
}  // namespace berth
