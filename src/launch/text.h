// Text and TextList: strings and lists of strings as plans hold them. Both only point at bytes that the plan
// owns (the planner's arena, or the encoded plan mapped by the keeper), so that the keeper needs no heap.
// Texts are NUL-terminated in place and contain no NUL: c_str() goes straight to a system call.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

namespace berth::launch {

class Text {
 public:
  constexpr Text() = default;
  /// `data[size]` must be NUL and none before it.
  constexpr Text(const char* data, uint32_t size) : data_(data), size_(size) {}

  constexpr const char* c_str() const { return data_; }
  constexpr std::string_view view() const { return {data_, size_}; }
  constexpr uint32_t size() const { return size_; }
  constexpr bool empty() const { return size_ == 0; }

 private:
  const char* data_ = "";
  uint32_t size_ = 0;
};

/// `count` texts in encoded form: u32 size, bytes, NUL, one after the other. Whoever makes one has checked
/// it.
class TextList {
 public:
  constexpr TextList() = default;
  constexpr TextList(const char* encoded, uint32_t bytes, uint32_t count)
      : encoded_(encoded), bytes_(bytes), count_(count) {}

  class Iterator {
   public:
    explicit Iterator(const char* at) : at_(at) {}
    Text operator*() const { return {at_ + sizeof(uint32_t), size()}; }
    Iterator& operator++() {
      at_ += sizeof(uint32_t) + size() + 1;
      return *this;
    }
    bool operator!=(const Iterator& other) const { return at_ != other.at_; }

   private:
    uint32_t size() const {
      uint32_t value;
      std::memcpy(&value, at_, sizeof value);
      return value;
    }
    const char* at_;
  };

  Iterator begin() const { return Iterator(encoded_); }
  Iterator end() const { return Iterator(encoded_ + bytes_); }
  uint32_t count() const { return count_; }
  bool empty() const { return count_ == 0; }
  std::string_view encoded() const { return {encoded_, bytes_}; }

 private:
  const char* encoded_ = "";
  uint32_t bytes_ = 0;
  uint32_t count_ = 0;
};

/// Bytes without meaning to the plan (a compiled seccomp filter).
class Blob {
 public:
  constexpr Blob() = default;
  constexpr Blob(const char* data, uint32_t size) : data_(data), size_(size) {}
  constexpr const char* data() const { return data_; }
  constexpr uint32_t size() const { return size_; }
  constexpr std::string_view view() const { return {data_, size_}; }

 private:
  const char* data_ = "";
  uint32_t size_ = 0;
};

}  // namespace berth::launch
