// A checksum against damage by disks and memory, ten times faster than a digest. It proves nothing against
// people.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"
#include "storage/byte_stream.h"

namespace berth::storage {

/// CRC-64 (ECMA-182, reflected) of what `before` is the checksum of, and then `bytes`; 0 is nothing's.
uint64_t crc64(uint64_t before, std::string_view bytes);

/// As crc64(). Given as a value where what links it may not always be there (the command is static).
using Checksum = uint64_t (*)(uint64_t before, std::string_view bytes);

/// Forwards; `next` may be null, and `function`: then the checksum stays 0.
class ChecksumSink : public ByteSink {
 public:
  ChecksumSink(ByteSink* next, Checksum function) : next_(next), function_(function) {}
  Result<void> write(std::string_view bytes) override {
    if (function_ != nullptr) checksum_ = function_(checksum_, bytes);
    return next_ == nullptr ? Result<void>() : next_->write(bytes);
  }
  uint64_t checksum() const { return checksum_; }

 private:
  ByteSink* next_;
  Checksum function_;
  uint64_t checksum_ = 0;
};

}  // namespace berth::storage
