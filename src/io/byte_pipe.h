// BytePipe: bytes between a coroutine of the loop thread and blocking code on a worker thread, bounded. One
// side writes, the other reads; either may be the loop's. A request's body becomes what a worker reads this
// way, and what a worker writes becomes an answer's body.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "io/event_loop.h"
#include "io/sync.h"

namespace berth::io {

class BytePipe {
 public:
  explicit BytePipe(EventLoop& loop, size_t capacity = 1 << 20);
  BytePipe(const BytePipe&) = delete;
  /// No worker may be using it.
  ~BytePipe();

  // On the loop thread; the tasks may be destroyed while they wait.
  /// Waits while the pipe is full. The reader's close gives Cancelled.
  Task<Result<void>> write(std::string_view bytes);
  /// What is there (up to the capacity), waiting for the first byte; empty at the end.
  Task<Result<std::string>> read();

  // On a worker thread; they block.
  Result<void> write_blocking(std::string_view bytes);
  /// 0 at the end.
  Result<size_t> read_blocking(std::span<char> buffer);

  // From either thread.
  /// No more bytes come; an error is what the reader gets when it has read the rest.
  void close_writing(std::optional<Error> error = {});
  /// Nobody reads on: writers get Cancelled.
  void close_reading();

 private:
  struct Shared;
  void wake_loop();
  std::shared_ptr<Shared> shared_;
};

}  // namespace berth::io
