// Compressed streams: round trips, concatenations, damage and bombs.
#include "storage/compression.h"

#include <bzlib.h>
#include <gtest/gtest.h>
#include <lzma.h>

namespace berth::storage {
namespace {

std::string sample(size_t size) {
  std::string text;
  uint32_t state = 1;
  while (text.size() < size) {
    state = state * 1664525 + 1013904223;
    text += "line " + std::to_string(state >> 20) + "\n";
  }
  text.resize(size);
  return text;
}

std::string pack(std::string_view text, Compression compression) {
  StringSink sink;
  if (compression == Compression::Xz) {
    std::string out(text.size() + 65536, '\0');
    size_t used = 0;
    EXPECT_EQ(
        lzma_easy_buffer_encode(1, LZMA_CHECK_CRC32, nullptr, reinterpret_cast<const uint8_t*>(text.data()),
                                text.size(), reinterpret_cast<uint8_t*>(out.data()), &used, out.size()),
        LZMA_OK);
    return out.substr(0, used);
  }
  if (compression == Compression::Bzip2) {
    std::string out(text.size() + 65536, '\0');
    unsigned used = static_cast<unsigned>(out.size());
    EXPECT_EQ(BZ2_bzBuffToBuffCompress(out.data(), &used, const_cast<char*>(text.data()),
                                       static_cast<unsigned>(text.size()), 9, 0, 0),
              BZ_OK);
    return out.substr(0, used);
  }
  auto compressor = compress(sink, compression);
  EXPECT_TRUE(compressor);
  EXPECT_TRUE((*compressor)->write(text.substr(0, text.size() / 3)));
  EXPECT_TRUE((*compressor)->write(text.substr(text.size() / 3)));
  EXPECT_TRUE((*compressor)->finish());
  return sink.text;
}

Result<std::string> unpack(std::string_view bytes, const DecompressionLimits& limits = {}) {
  StringSource source(bytes);
  TRY(auto plain, decompress(source, limits));
  return read_all(*plain, size_t{1} << 30);
}

class Formats : public testing::TestWithParam<Compression> {};

TEST_P(Formats, RoundTripsAndConcatenates) {
  std::string text = sample(1'000'003);
  std::string packed = pack(text, GetParam());
  EXPECT_EQ(detect_compression(packed), GetParam());
  auto plain = unpack(packed);
  ASSERT_TRUE(plain) << plain.error().message();
  EXPECT_EQ(*plain, text);
  auto twice = unpack(packed + packed);
  ASSERT_TRUE(twice) << twice.error().message();
  EXPECT_EQ(*twice, text + text);
  EXPECT_EQ(unpack(packed + std::string(700'000, '\0'))->size(), text.size());
  EXPECT_EQ(*unpack(pack("", GetParam())), "");
}

TEST_P(Formats, RefusesDamage) {
  std::string packed = pack(sample(300'000), GetParam());
  EXPECT_EQ(unpack(packed.substr(0, packed.size() / 2)).error().kind(), Kind::Corrupt);
  EXPECT_EQ(unpack(packed.substr(0, packed.size() - 1)).error().kind(), Kind::Corrupt);
  EXPECT_EQ(unpack(packed + "garbage").error().kind(), Kind::Corrupt);
  std::string flipped = packed;
  flipped[packed.size() / 2] ^= 0x55;
  EXPECT_FALSE(unpack(flipped));
}

TEST_P(Formats, RefusesBombs) {
  std::string packed = pack(std::string(8 << 20, '\0'), GetParam());
  EXPECT_EQ(unpack(packed, {.max_bytes = 1 << 20}).error().kind(), Kind::Exhausted);
  EXPECT_EQ(unpack(packed, {.max_ratio = 50, .ratio_grace_bytes = 1 << 20}).error().kind(), Kind::Exhausted);
  EXPECT_TRUE(unpack(packed, {.max_ratio = 50})) << "small enough not to matter";
}

INSTANTIATE_TEST_SUITE_P(All, Formats,
                         testing::Values(Compression::Gzip, Compression::Zstd, Compression::Xz,
                                         Compression::Bzip2),
                         [](const auto& info) { return std::string(to_string(info.param)); });

/// Bytes that no compression shortens.
std::string dense(size_t size, uint64_t seed) {
  std::string bytes;
  while (bytes.size() < size) {
    seed = seed * 6364136223846793005 + 1442695040888963407;
    for (int i = 0; i < 4; ++i) bytes.push_back(static_cast<char>(seed >> (32 + 8 * i)));
  }
  bytes.resize(size);
  return bytes;
}

std::string gzip_in_writes_of(std::string_view text, size_t step) {
  StringSink sink;
  auto compressor = compress(sink, Compression::Gzip);
  EXPECT_TRUE(compressor);
  for (; !text.empty(); text.remove_prefix(std::min(step, text.size())))
    EXPECT_TRUE((*compressor)->write(text.substr(0, step)));
  EXPECT_TRUE((*compressor)->finish());
  return sink.text;
}

TEST(Gzip, StoresWhatIsCompressedAlreadyBetweenWhatIsNot) {
  // Stretches that begin and end anywhere, shorter and longer than units, buffers and stored blocks.
  std::string mixed;
  uint64_t seed = 1;
  for (size_t size :
       {1, 100, 2047, 2048, 6000, 8191, 8192, 8193, 14'680, 65'535, 65'536, 70'000, 262'144, 600'000}) {
    mixed += sample(size);
    mixed += dense(size, ++seed);
  }
  for (std::string_view part : {std::string_view(mixed), std::string_view(mixed).substr(1, 333'333),
                                std::string_view(mixed).substr(0, mixed.size() - 300'000)}) {
    auto plain = unpack(gzip_in_writes_of(part, 262'144));
    ASSERT_TRUE(plain) << plain.error().message();
    EXPECT_EQ(*plain == part, true);
  }
  // How the writes cut it does not show.
  EXPECT_EQ(gzip_in_writes_of(mixed, 262'144) == gzip_in_writes_of(mixed, 1021), true);
  EXPECT_EQ(gzip_in_writes_of(mixed, mixed.size()) == gzip_in_writes_of(mixed, 4096), true);
}

TEST(Gzip, CostsLittleWhereNothingIsGained) {
  std::string bytes = dense(1'000'000, 7);
  EXPECT_LT(pack(bytes, Compression::Gzip).size(), bytes.size() + 1000);
}

TEST(Gzip, FindsWhatCanBeCompressed) {
  EXPECT_LT(pack(sample(1'000'000), Compression::Gzip).size(), 400'000u);
  // Values that are all there, unevenly: no text, and yet to be shortened.
  std::string uneven = dense(1'000'000, 9);
  for (size_t i = 0; i < uneven.size(); i += 2) uneven[i] = static_cast<char>(uneven[i] & 0x0f);
  EXPECT_LT(pack(uneven, Compression::Gzip).size(), 900'000u);
}

TEST(Compression, PlainBytesPass) {
  EXPECT_EQ(*unpack("hello, plain"), "hello, plain");
  EXPECT_EQ(*unpack("hi"), "hi");
  EXPECT_EQ(*unpack(""), "");
  EXPECT_EQ(unpack("123456789", {.max_bytes = 8}).error().kind(), Kind::Exhausted);
}

}  // namespace
}  // namespace berth::storage
