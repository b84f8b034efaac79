// Demultiplexing.
#include "apps/berth/terminal/frames.h"

#include <algorithm>

#include "base/format.h"

namespace berth::cli::terminal {

constexpr size_t max_engine_error = 64 * 1024;

Result<void> FrameSplitter::feed(std::string_view bytes, const Consumer& consume) {
  while (!bytes.empty()) {
    if (remaining_ > 0) {
      std::string_view payload = bytes.substr(0, remaining_);
      bytes.remove_prefix(payload.size());
      remaining_ -= static_cast<uint32_t>(payload.size());
      if (stream_ == Stream::EngineError) {
        engine_error_.append(
            payload.substr(0, max_engine_error - std::min(max_engine_error, engine_error_.size())));
      } else {
        consume(stream_, payload);
      }
      continue;
    }
    size_t take = std::min(sizeof header_ - header_size_, bytes.size());
    std::copy_n(bytes.begin(), take, header_ + header_size_);
    header_size_ += take;
    bytes.remove_prefix(take);
    if (header_size_ < sizeof header_) return {};
    header_size_ = 0;
    if (header_[0] > 3) return failure(Kind::Corrupt, "Unrecognized input header: {}", header_[0]);
    stream_ = static_cast<Stream>(header_[0]);
    remaining_ = static_cast<uint32_t>(header_[4]) << 24 | static_cast<uint32_t>(header_[5]) << 16 |
                 static_cast<uint32_t>(header_[6]) << 8 | header_[7];
  }
  return {};
}

}  // namespace berth::cli::terminal
