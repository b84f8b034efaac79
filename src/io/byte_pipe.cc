// Bytes between threads.
#include "io/byte_pipe.h"

#include <algorithm>
#include <cstring>

namespace berth::io {

struct BytePipe::Shared {
  Shared(EventLoop& event_loop, size_t bytes) : loop(event_loop), capacity(bytes) {}

  EventLoop& loop;
  const size_t capacity;
  std::mutex mutex;
  std::condition_variable thread_side;
  std::string buffer;
  size_t read_at = 0;  // of buffer
  bool write_closed = false;
  bool read_closed = false;
  std::optional<Error> error;
  bool loop_waits = false;
  Condition loop_side;  // loop thread only

  size_t filled() const { return buffer.size() - read_at; }
  void append(std::string_view bytes) {
    if (read_at > 0 && read_at >= buffer.size() / 2) {
      buffer.erase(0, read_at);
      read_at = 0;
    }
    buffer.append(bytes);
  }
};

namespace {

Error reader_gone() {
  return Error(Kind::Cancelled, "nobody reads on");
}

}  // namespace

BytePipe::BytePipe(EventLoop& loop, size_t capacity) : shared_(std::make_shared<Shared>(loop, capacity)) {}

BytePipe::~BytePipe() = default;

/// With the mutex held: lets the coroutine that waits look again.
void BytePipe::wake_loop() {
  if (!std::exchange(shared_->loop_waits, false)) return;
  shared_->loop.post([shared = shared_] { shared->loop_side.notify_all(); });
}

Task<Result<void>> BytePipe::write(std::string_view bytes) {
  auto shared = shared_;
  while (!bytes.empty()) {
    {
      std::lock_guard lock(shared->mutex);
      if (shared->read_closed) co_return reader_gone();
      size_t room = shared->capacity - std::min(shared->capacity, shared->filled());
      size_t count = std::min(room, bytes.size());
      if (count > 0) {
        shared->append(bytes.substr(0, count));
        bytes.remove_prefix(count);
        shared->thread_side.notify_all();
      }
      if (bytes.empty()) break;
      shared->loop_waits = true;
    }
    co_await shared->loop_side.wait();
  }
  co_return Result<void>();
}

Task<Result<std::string>> BytePipe::read() {
  auto shared = shared_;
  while (true) {
    {
      std::lock_guard lock(shared->mutex);
      if (shared->filled() > 0) {
        std::string bytes;
        if (shared->read_at == 0) {
          bytes.swap(shared->buffer);
        } else {
          bytes = shared->buffer.substr(shared->read_at);
          shared->buffer.clear();
          shared->read_at = 0;
        }
        shared->thread_side.notify_all();
        co_return bytes;
      }
      if (shared->write_closed) {
        if (shared->error) co_return Error(*shared->error);
        co_return std::string();
      }
      shared->loop_waits = true;
    }
    co_await shared->loop_side.wait();
  }
}

Result<void> BytePipe::write_blocking(std::string_view bytes) {
  std::unique_lock lock(shared_->mutex);
  while (!bytes.empty()) {
    shared_->thread_side.wait(lock,
                              [&] { return shared_->read_closed || shared_->filled() < shared_->capacity; });
    if (shared_->read_closed) return reader_gone();
    size_t count = std::min(shared_->capacity - shared_->filled(), bytes.size());
    shared_->append(bytes.substr(0, count));
    bytes.remove_prefix(count);
    wake_loop();
  }
  return {};
}

Result<size_t> BytePipe::read_blocking(std::span<char> buffer) {
  std::unique_lock lock(shared_->mutex);
  shared_->thread_side.wait(
      lock, [&] { return shared_->filled() > 0 || shared_->write_closed || shared_->read_closed; });
  if (shared_->read_closed) return reader_gone();
  size_t count = std::min(shared_->filled(), buffer.size());
  if (count == 0) {
    if (shared_->error) return Error(*shared_->error);
    return size_t{0};
  }
  std::memcpy(buffer.data(), shared_->buffer.data() + shared_->read_at, count);
  shared_->read_at += count;
  if (shared_->filled() == 0) {
    shared_->buffer.clear();
    shared_->read_at = 0;
  }
  // The writer waits for room; let it fill a good part at once.
  if (shared_->filled() <= shared_->capacity / 2) wake_loop();
  return count;
}

void BytePipe::close_writing(std::optional<Error> error) {
  std::lock_guard lock(shared_->mutex);
  if (shared_->write_closed) return;
  shared_->write_closed = true;
  shared_->error = std::move(error);
  shared_->thread_side.notify_all();
  wake_loop();
}

void BytePipe::close_reading() {
  std::lock_guard lock(shared_->mutex);
  shared_->read_closed = true;
  shared_->thread_side.notify_all();
  wake_loop();
}

}  // namespace berth::io
