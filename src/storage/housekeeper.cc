// The housekeeper's thread.
#include "storage/housekeeper.h"

#include "base/log.h"

namespace berth::storage {

Housekeeper::~Housekeeper() {
  {
    std::lock_guard lock(mutex_);
    if (thread_.joinable()) thread_.request_stop();
  }
  if (thread_.joinable()) thread_.join();
}

void Housekeeper::request_trash() {
  std::lock_guard lock(mutex_);
  trash_requested_ = true;
  wake();
}

void Housekeeper::request_sync() {
  std::lock_guard lock(mutex_);
  if (!sync_requested_) sync_due_ = std::chrono::steady_clock::now() + sync_delay_;
  sync_requested_ = true;
  wake();
}

/// With the mutex held.
void Housekeeper::wake() {
  changed_.notify_all();
  if (running_) return;
  // A thread that has said it is done does nothing more but return: joining it does not wait for work.
  if (thread_.joinable()) thread_.join();
  running_ = true;
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

void Housekeeper::run(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    Result<void> done;
    if (trash_requested_) {
      trash_requested_ = false;
      lock.unlock();
      done = work_.empty_trash(stop);
      lock.lock();
    } else if (sync_requested_) {
      bool due = !changed_.wait_until(lock, stop, sync_due_, [&] { return trash_requested_; });
      if (!due || stop.stop_requested()) continue;
      sync_requested_ = false;
      lock.unlock();
      done = work_.sync();
      lock.lock();
    } else {
      break;
    }
    bool is_failure = !done && done.error().kind() != Kind::Cancelled;
    if (is_failure) log::warn("storage housekeeping: {}", done.error().message());
  }
  running_ = false;
}

}  // namespace berth::storage
