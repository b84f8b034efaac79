// BackgroundSink: what is written goes on to the next sink on a thread of its own, so that making bytes and,
// say, compressing them take the time of the slower of the two. Bounded; errors of the next sink come back
// with a later write() or with finish().
#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "storage/byte_stream.h"

namespace berth::storage {

class BackgroundSink : public ByteSink {
 public:
  /// `next` is used by the thread until finish() has returned or this is destroyed, which drops what is
  /// pending.
  explicit BackgroundSink(ByteSink& next);
  ~BackgroundSink() override;
  BackgroundSink(const BackgroundSink&) = delete;

  Result<void> write(std::string_view bytes) override;
  /// Hands on what is left and waits until the next sink has it all.
  Result<void> finish();

 private:
  void pass_on();
  /// The chunk that is being filled is full, or the last.
  Result<void> hand_over();

  ByteSink& next_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> chunks_;  ///< a ring
  uint64_t filled_ = 0;              ///< chunks handed over
  uint64_t passed_ = 0;              ///< chunks that the next sink has taken
  bool ended_ = false;
  std::optional<Error> error_;
  std::thread thread_;
};

}  // namespace berth::storage
