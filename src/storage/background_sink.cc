// The ring of chunks and its two parties.
#include "storage/background_sink.h"

#include <algorithm>

namespace berth::storage {
namespace {
constexpr size_t ring_size = 8;
constexpr size_t chunk_size = 256 * 1024;
}  // namespace

BackgroundSink::BackgroundSink(ByteSink& next) : next_(next), chunks_(ring_size) {
  thread_ = std::thread([this] { pass_on(); });
}

BackgroundSink::~BackgroundSink() {
  {
    std::lock_guard lock(mutex_);
    ended_ = true;
    passed_ = filled_;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void BackgroundSink::pass_on() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return filled_ > passed_ || ended_; });
    if (filled_ <= passed_) return;
    std::string& chunk = chunks_[passed_ % ring_size];
    lock.unlock();
    auto written = next_.write(chunk);
    lock.lock();
    if (!written) error_ = std::move(written).error();
    if (passed_ < filled_) ++passed_;
    changed_.notify_all();
    if (error_) return;
  }
}

Result<void> BackgroundSink::hand_over() {
  std::unique_lock lock(mutex_);
  ++filled_;
  changed_.notify_all();
  changed_.wait(lock, [&] { return error_ || filled_ - passed_ < ring_size; });
  if (error_) return *error_;
  chunks_[filled_ % ring_size].clear();
  return {};
}

Result<void> BackgroundSink::write(std::string_view bytes) {
  while (!bytes.empty()) {
    std::string& chunk = chunks_[filled_ % ring_size];  // only this thread changes filled_
    size_t count = std::min(bytes.size(), chunk_size - chunk.size());
    chunk.append(bytes.substr(0, count));
    bytes.remove_prefix(count);
    if (chunk.size() == chunk_size) CHECK(hand_over());
  }
  return {};
}

Result<void> BackgroundSink::finish() {
  if (!chunks_[filled_ % ring_size].empty()) CHECK(hand_over());
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return error_ || passed_ == filled_; });
    ended_ = true;
    changed_.notify_all();
  }
  thread_.join();
  if (error_) return *error_;
  return {};
}

}  // namespace berth::storage
