// ByteQueue: bytes waiting for a descriptor that cannot take them now. Takes memory only while it holds
// something.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "sys/kernel_call.h"

namespace berth::keeper {

class ByteQueue {
 public:
  bool empty() const { return begin_ == end_; }
  size_t size() const { return end_ - begin_; }
  const char* data() const { return memory_ + begin_; }

  /// False when there is no memory or it would hold more than kLimit: nothing is added then.
  bool append(const void* bytes, size_t size) {
    if (size > kLimit - this->size() || !reserve(size)) return false;
    std::memcpy(memory_ + end_, bytes, size);
    end_ += size;
    return true;
  }
  /// Forgets the first `size` bytes.
  void consume(size_t size) {
    begin_ += size;
    if (empty()) clear();
  }
  void clear() {
    if (memory_ != nullptr) sys::call::unmap(memory_, capacity_);
    *this = ByteQueue();
  }

  /// More than a pipe of the largest default size holds, for each of two streams.
  static constexpr size_t kLimit = 8u << 20;

 private:
  bool reserve(size_t size) {
    if (size <= capacity_ - end_) return true;
    size_t wanted = 4096;
    while (wanted < this->size() + size) wanted *= 2;
    void* memory = sys::call::map(wanted, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
    if (sys::call::map_failed(memory)) return false;
    size_t held = this->size();
    if (held > 0) std::memcpy(memory, data(), held);
    if (memory_ != nullptr) sys::call::unmap(memory_, capacity_);
    memory_ = static_cast<char*>(memory);
    capacity_ = wanted;
    begin_ = 0;
    end_ = held;
    return true;
  }

  char* memory_ = nullptr;
  size_t capacity_ = 0;
  size_t begin_ = 0;
  size_t end_ = 0;
};

}  // namespace berth::keeper
