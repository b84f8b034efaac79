// gzip by ISA-L, with stretches that no compression shortens stored as they are.
#pragma once

#include <isa-l/igzip_lib.h>

#include <memory>
#include <string_view>
#include <vector>

#include "storage/compression.h"

namespace berth::storage {

/// Layers hold much that is compressed already (wheels, jars, pictures). A match finder spends most of its
/// time on such bytes and gains nothing, so they are told by a sample of their distribution and become stored
/// blocks. A repetition of such bytes within 32 KiB is not found then. The output does not depend on how
/// writes cut the input.
class GzipSink final : public CompressingSink {
 public:
  explicit GzipSink(ByteSink& sink);

  Result<void> write(std::string_view bytes) override;
  Result<void> finish() override;

 private:
  enum class Last { No, Yes };

  /// Takes what is buffered, but for units of which it is not decided yet whether they are stored.
  Result<void> drain(Last last);
  /// With Flush the block ends at a byte, and what follows refers to nothing before it.
  enum class After { GoOn, Flush, End };
  Result<void> deflate(std::string_view bytes, After after);
  Result<void> run(isal_zstream& stream, std::string_view bytes, After after);
  Result<void> store(std::string_view bytes);
  Result<void> put(std::string_view bytes);
  Result<void> pass_on();

  ByteSink& sink_;
  std::unique_ptr<isal_zstream> stream_ = std::make_unique<isal_zstream>();
  /// For short pieces between stored ones: to find the best code for each would take longer than all the
  /// rest.
  std::unique_ptr<isal_zstream> short_stream_ = std::make_unique<isal_zstream>();
  std::vector<uint8_t> level_buffer_;
  std::vector<char> input_;
  size_t filled_ = 0;
  size_t dense_ = 0;       ///< bytes at the beginning of input_ that are incompressible, but too few so far
  bool storing_ = false;   ///< in a stretch that is stored
  bool deflated_ = false;  ///< something since the last flush
  std::vector<char> output_;
  size_t used_ = 0;
  uint32_t crc_ = 0;
  uint64_t size_ = 0;
};

}  // namespace berth::storage
