// Relay: the CLI's callbacks, which fail with a Failure, behind storage's byte streams, which know only
// Error.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "apps/berth/archive/local_tree.h"
#include "storage/byte_stream.h"
#include "storage/tar_reader.h"

namespace berth::cli::archive {

/// Keeps the Failure of a callback while an Error stands for it.
class FailureSlot {
 public:
  template <class T>
  Error keep(const Outcome<T>& outcome) {
    failure_ = outcome.error();
    return Error(Kind::Unavailable, failure_->message);
  }
  /// The kept failure, else `error`.
  Failure or_else(const Error& error) const {
    return failure_ ? *failure_ : Failure::client(error.message());
  }

 private:
  std::optional<Failure> failure_;
};

/// Gathers small writes. flush() must be called at the end.
class RelaySink : public storage::ByteSink {
 public:
  RelaySink(const WriteBytes& write, FailureSlot& slot) : write_(write), slot_(slot) {}
  Result<void> write(std::string_view bytes) override {
    buffer_.append(bytes);
    return buffer_.size() >= flush_at ? flush() : Result<void>();
  }
  Result<void> flush() {
    auto written = write_(buffer_);
    buffer_.clear();
    if (!written) return slot_.keep(written);
    return {};
  }

 private:
  static constexpr size_t flush_at = 256 * 1024;
  const WriteBytes& write_;
  FailureSlot& slot_;
  std::string buffer_;
};

class RelayChunks : public storage::ChunkSource {
 public:
  RelayChunks(const ReadBytes& read, FailureSlot& slot) : read_(read), slot_(slot) {}
  Result<std::string_view> next_chunk() override {
    auto piece = read_();
    if (!piece) return slot_.keep(piece);
    return *piece;
  }

 private:
  const ReadBytes& read_;
  FailureSlot& slot_;
};

}  // namespace berth::cli::archive
