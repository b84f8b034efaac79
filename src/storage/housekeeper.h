// Housekeeper: the snapshotter's work that nobody waits for (emptying the trash, making new layers durable),
// on one thread that exists only while there is something to do.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <stop_token>
#include <thread>

#include "base/result.h"

namespace berth::storage {

class Housekeeper {
 public:
  struct Work {
    std::function<Result<void>(std::stop_token)> empty_trash;
    std::function<Result<void>()> sync;
  };
  /// A requested sync waits this long, so that a burst of layers costs one.
  Housekeeper(Work work, std::chrono::milliseconds sync_delay)
      : work_(std::move(work)), sync_delay_(sync_delay) {}
  /// Stops between two removals; a sync under way is waited for.
  ~Housekeeper();
  Housekeeper(const Housekeeper&) = delete;
  Housekeeper& operator=(const Housekeeper&) = delete;

  void request_trash();
  void request_sync();

 private:
  void wake();
  void run(const std::stop_token& stop);

  Work work_;
  std::chrono::milliseconds sync_delay_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  bool trash_requested_ = false;
  bool sync_requested_ = false;
  std::chrono::steady_clock::time_point sync_due_;
  bool running_ = false;
  std::jthread thread_;
};

}  // namespace berth::storage
