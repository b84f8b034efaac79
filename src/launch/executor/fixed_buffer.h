// FixedBuffer: a NUL-terminated string of bounded size on the stack, for code without a heap. What does not
// fit is cut and remembered: overflowed() is to be checked before the content is used.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "launch/text.h"

namespace berth::launch {

template <size_t Capacity>
class FixedBuffer {
 public:
  FixedBuffer() { data_[0] = 0; }
  explicit FixedBuffer(std::string_view text) {
    data_[0] = 0;
    append(text);
  }
  FixedBuffer(const FixedBuffer&) = delete;
  FixedBuffer& operator=(const FixedBuffer&) = delete;

  void append(const char* bytes, size_t size) {
    if (size > Capacity - size_) {
      overflowed_ = true;
      size = Capacity - size_;
    }
    std::memcpy(data_ + size_, bytes, size);
    size_ += size;
    data_[size_] = 0;
  }
  void append(std::string_view text) { append(text.data(), text.size()); }
  void append_number(uint64_t value) {
    char digits[20];
    size_t count = 0;
    do digits[count++] = static_cast<char>('0' + value % 10);
    while ((value /= 10) > 0);
    while (count > 0) append(&digits[--count], 1);
  }
  void assign(std::string_view text) {
    clear();
    append(text);
  }
  void clear() {
    size_ = 0;
    overflowed_ = false;
    data_[0] = 0;
  }
  void cut_to(size_t size) {
    if (size < size_) data_[size_ = size] = 0;
  }

  const char* c_str() const { return data_; }
  char* data() { return data_; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  bool overflowed() const { return overflowed_; }
  Text text() const { return {data_, static_cast<uint32_t>(size_)}; }
  std::string_view view() const { return {data_, size_}; }
  static constexpr size_t capacity() { return Capacity; }

 private:
  size_t size_ = 0;
  bool overflowed_ = false;
  char data_[Capacity + 1];
};

using PathBuffer = FixedBuffer<4095>;

}  // namespace berth::launch
