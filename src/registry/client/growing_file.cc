#include "registry/client/growing_file.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>

namespace berth::registry {

Result<void> GrowingFile::begin(int fd) {
  sys::UniqueFd own(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!own) return Error::from_errno("duplicate", "a blob's descriptor", errno);
  std::lock_guard lock(mutex_);
  fd_ = std::move(own);
  return {};
}

void GrowingFile::grow(uint64_t size) {
  std::lock_guard lock(mutex_);
  size_ = size;
  changed_.notify_all();
}

void GrowingFile::end() {
  std::lock_guard lock(mutex_);
  if (state_ == State::Growing) state_ = State::Complete;
  changed_.notify_all();
}

void GrowingFile::abandon() {
  std::lock_guard lock(mutex_);
  if (state_ == State::Growing) state_ = State::Abandoned;
  changed_.notify_all();
}

Result<size_t> GrowingFile::Reader::read(std::span<char> buffer) {
  std::unique_lock lock(file_.mutex_);
  auto ready = [&] { return file_.size_ > offset_ || file_.state_ != State::Growing; };
  if (!file_.changed_.wait(lock, stop_, ready)) return Error(Kind::Cancelled, "context canceled");
  if (file_.state_ == State::Abandoned) return Error(Kind::Cancelled, "the blob was not finished");
  auto left = static_cast<size_t>(std::min<uint64_t>(file_.size_ - offset_, buffer.size()));
  if (left == 0) return size_t{0};
  int fd = file_.fd_.get();
  lock.unlock();
  storage::FileSource source(fd, offset_, left);
  TRY(size_t count, source.read(buffer.first(left)));
  if (count == 0) return Error(Kind::Corrupt, "a blob's file has become shorter");
  offset_ += count;
  return count;
}

}  // namespace berth::registry
