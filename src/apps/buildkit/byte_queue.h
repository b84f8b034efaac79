// ByteQueue: bytes from one thread to another, bounded. Blocking on both sides.
#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace berth::buildkit {

class ByteQueue {
 public:
  /// Waits while much is unread. Cancelled: the reader has gone.
  Result<void> write(std::string_view bytes);
  /// The end, by an error or without one.
  void close(Result<void> outcome);
  /// What is there; empty at the end. The writer's error when it failed.
  Result<std::string> read();
  /// The reader wants no more.
  void abandon();

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string bytes_;
  std::optional<Result<void>> outcome_;
  bool abandoned_ = false;
};

}  // namespace berth::buildkit
