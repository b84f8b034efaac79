#include "apps/buildkit/byte_queue.h"

#include <utility>

namespace berth::buildkit {
namespace {
constexpr size_t max_unread = size_t{2} << 20;
}

Result<void> ByteQueue::write(std::string_view bytes) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return abandoned_ || bytes_.size() < max_unread; });
  if (abandoned_) return Error(Kind::Cancelled, "nobody reads any more");
  bytes_.append(bytes);
  changed_.notify_all();
  return {};
}

void ByteQueue::close(Result<void> outcome) {
  std::lock_guard lock(mutex_);
  if (!outcome_) outcome_ = std::move(outcome);
  changed_.notify_all();
}

Result<std::string> ByteQueue::read() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return outcome_ || !bytes_.empty(); });
  if (!bytes_.empty()) {
    std::string taken = std::exchange(bytes_, {});
    changed_.notify_all();
    return taken;
  }
  if (!*outcome_) return outcome_->error();
  return std::string();
}

void ByteQueue::abandon() {
  std::lock_guard lock(mutex_);
  abandoned_ = true;
  changed_.notify_all();
}

}  // namespace berth::buildkit
