// A file that is read while it is written: what a push sends of a layer that is still being compressed.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <stop_token>

#include "base/result.h"
#include "storage/byte_stream.h"
#include "sys/fd.h"

namespace berth::registry {

class GrowingFile {
 public:
  /// The file to read from; keeps a descriptor of its own. Once, before anything grows.
  Result<void> begin(int fd);
  /// It has `size` bytes now.
  void grow(uint64_t size);
  /// It is complete.
  void end();
  /// It will never be: readers fail. Without effect after end().
  void abandon();

  /// Reads from the beginning, and waits where the file has not grown as far. Cancelled: stopped, or
  /// abandoned.
  class Reader : public storage::ByteSource {
   public:
    Reader(GrowingFile& file, std::stop_token stop) : file_(file), stop_(std::move(stop)) {}
    Result<size_t> read(std::span<char> buffer) override;

   private:
    GrowingFile& file_;
    std::stop_token stop_;
    uint64_t offset_ = 0;
  };

 private:
  enum class State { Growing, Complete, Abandoned };
  std::mutex mutex_;
  std::condition_variable_any changed_;
  sys::UniqueFd fd_;
  uint64_t size_ = 0;
  State state_ = State::Growing;
};

}  // namespace berth::registry
