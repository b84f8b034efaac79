// Frames: docker's 8-byte multiplexing of stdout and stderr on one stream. Pure.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace berth::cli::terminal {

/// Splits a stream of frames {type, 0, 0, 0, length big-endian} given in pieces of any size. Payload is
/// passed on as it comes: a frame is never held back for its end, so its length needs no bound.
class FrameSplitter {
 public:
  enum class Stream { Stdin = 0, Stdout = 1, Stderr = 2, EngineError = 3 };
  using Consumer = std::function<void(Stream stream, std::string_view payload)>;

  /// A header with an unknown type is an error: the stream is not multiplexed.
  Result<void> feed(std::string_view bytes, const Consumer& consume);
  /// The message that the engine sent in a frame of type EngineError, if it did.
  const std::string& engine_error() const { return engine_error_; }

 private:
  unsigned char header_[8] = {};
  size_t header_size_ = 0;
  uint32_t remaining_ = 0;
  Stream stream_ = Stream::Stdout;
  std::string engine_error_;
};

}  // namespace berth::cli::terminal
