// Compressed streams: detection by magic, and decompressors and compressors as sources and sinks. gzip goes
// through ISA-L (several members), zstd, xz and bzip2 through their libraries; never through a program.
#pragma once

#include <memory>
#include <string_view>

#include "storage/byte_stream.h"

namespace berth::storage {

enum class Compression { None, Gzip, Zstd, Xz, Bzip2 };

std::string_view to_string(Compression compression);
/// From the first bytes (six suffice).
Compression detect_compression(std::string_view prefix);

struct DecompressionLimits {
  uint64_t max_bytes = uint64_t{256} << 30;  ///< of output
  /// Output may exceed the input by this factor, once past `ratio_grace_bytes` (a bomb is all ratio).
  uint64_t max_ratio = 400;
  uint64_t ratio_grace_bytes = uint64_t{2} << 30;
  size_t max_decoder_memory = size_t{256} << 20;  ///< windows of zstd and xz
};

/// Detects and decompresses; plain bytes pass through. Damaged input: Corrupt; limits: Exhausted.
/// `source` must outlive the result.
Result<std::unique_ptr<ByteSource>> decompress(ByteSource& source, const DecompressionLimits& limits = {});

/// A sink whose finish() writes the trailer; without it the output is truncated.
class CompressingSink : public ByteSink {
 public:
  virtual Result<void> finish() = 0;
};
/// None, Gzip and Zstd. The output may differ between processors and library versions. `sink` must outlive
/// the result.
Result<std::unique_ptr<CompressingSink>> compress(ByteSink& sink, Compression compression);

}  // namespace berth::storage
