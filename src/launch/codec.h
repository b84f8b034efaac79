// Encoding of plans and of the messages between daemon and keeper: fields one after the other in their order
// in fields(), integers little-endian, texts as {u32 size, bytes, NUL}. The decoder checks every length
// before it uses it, accepts only what the encoder makes, points into the input, and needs neither heap nor
// libc.
#pragma once

#include <bit>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <utility>
#include <variant>

#include "launch/text.h"

namespace berth::launch {

static_assert(std::endian::native == std::endian::little);

/// Appends to any string-like output (std::string in the daemon, FixedBuffer in the keeper).
template <class Output>
class Encoder {
 public:
  explicit Encoder(Output& output) : output_(output) {}

  template <class... Fields>
  void operator()(const Fields&... fields) {
    (put(fields), ...);
  }

 private:
  template <std::integral T>
  void put(T value) {
    output_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void put(const Text& text) {
    put(text.size());
    output_.append(text.c_str(), text.size() + 1);
  }
  void put(const TextList& list) {
    put(list.count());
    put(static_cast<uint32_t>(list.encoded().size()));
    output_.append(list.encoded().data(), list.encoded().size());
  }
  void put(const Blob& blob) {
    put(blob.size());
    output_.append(blob.data(), blob.size());
  }

  Output& output_;
};

class Decoder {
 public:
  explicit Decoder(std::string_view input) : at_(input.data()), end_(input.data() + input.size()) {}

  template <class... Fields>
  void operator()(Fields&... fields) {
    (get(fields), ...);
  }
  /// False once anything did not fit; values read since are empty.
  bool ok() const { return ok_; }
  bool at_end() const { return at_ == end_; }

 private:
  size_t left() const { return static_cast<size_t>(end_ - at_); }

  template <std::integral T>
  void get(T& value) {
    value = T{};
    if (!ok_ || left() < sizeof value) return fail();
    std::memcpy(&value, at_, sizeof value);
    at_ += sizeof value;
  }
  void get(Text& text) {
    uint32_t size = 0;
    get(size);
    if (!ok_ || left() <= size || !is_text(at_, size)) return fail();
    text = Text(at_, size);
    at_ += size + 1;
  }
  void get(Blob& blob) {
    uint32_t size = 0;
    get(size);
    if (!ok_ || left() < size) return fail();
    blob = Blob(at_, size);
    at_ += size;
  }
  void get(TextList& list) {
    uint32_t count = 0, bytes = 0;
    (*this)(count, bytes);
    if (!ok_ || left() < bytes) return fail();
    Decoder items(std::string_view(at_, bytes));
    for (uint32_t i = 0; i < count && items.ok_; ++i) {
      Text ignored;
      items.get(ignored);
    }
    if (!items.ok_ || !items.at_end()) return fail();
    list = TextList(at_, bytes, count);
    at_ += bytes;
  }

  static bool is_text(const char* data, uint32_t size) {
    return data[size] == 0 && std::string_view(data, size).find('\0') == std::string_view::npos;
  }
  void fail() {
    ok_ = false;
    at_ = end_;
  }

  const char* at_;
  const char* end_;
  bool ok_ = true;
};

/// A closed variant as {u8 index, fields}.
template <class Output, class... Alternatives>
void encode_variant(Encoder<Output>& encoder, const std::variant<Alternatives...>& value) {
  encoder(static_cast<uint8_t>(value.index()));
  std::visit([&](auto copy) { copy.fields(encoder); }, value);
}

/// False when the index names no alternative or its fields are not whole.
template <class... Alternatives>
bool decode_variant(Decoder& decoder, std::variant<Alternatives...>& value) {
  uint8_t index = 0;
  decoder(index);
  if (!decoder.ok()) return false;
  bool known = false;
  [&]<size_t... I>(std::index_sequence<I...>) {
    ((I == index ? (known = true, value.template emplace<I>().fields(decoder)) : void()), ...);
  }
  (std::index_sequence_for<Alternatives...>());
  return known && decoder.ok();
}

}  // namespace berth::launch
