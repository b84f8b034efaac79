// Writing recipes.
#include "storage/recipe.h"

namespace berth::storage {
namespace {

constexpr size_t literal_flush = 64 * 1024;

void append_varint(std::string& out, uint64_t value) {
  while (value >= 0x80) {
    out += static_cast<char>((value & 0x7f) | 0x80);
    value >>= 7;
  }
  out += static_cast<char>(value);
}

}  // namespace

Result<void> RecipeWriter::literal(std::string_view bytes) {
  CHECK(flush_content());
  literal_ += bytes;
  if (literal_.size() >= literal_flush) return flush_literal();
  return {};
}

Result<void> RecipeWriter::content(std::string_view path, uint64_t offset, uint64_t length) {
  if (length == 0) return {};
  CHECK(flush_literal());
  if (length_ > 0 && path == path_ && offset == offset_ + length_) {
    length_ += length;
    return {};
  }
  CHECK(flush_content());
  path_ = path;
  offset_ = offset;
  length_ = length;
  return {};
}

Result<void> RecipeWriter::flush_literal() {
  if (!started_) {
    started_ = true;
    CHECK(sink_.write(kRecipeMagic));
  }
  for (std::string_view rest = literal_; !rest.empty();) {
    std::string_view part = rest.substr(0, kMaxRecipeLiteral);
    std::string record = "L";
    append_varint(record, part.size());
    CHECK(sink_.write(record));
    CHECK(sink_.write(part));
    rest.remove_prefix(part.size());
  }
  literal_.clear();
  return {};
}

Result<void> RecipeWriter::flush_content() {
  if (length_ == 0) return {};
  std::string record = "F";
  append_varint(record, path_.size());
  record += path_;
  append_varint(record, offset_);
  append_varint(record, length_);
  length_ = 0;
  return sink_.write(record);
}

Result<void> RecipeWriter::finish(uint64_t checksum) {
  CHECK(flush_content());
  CHECK(flush_literal());
  std::string record = "C";
  for (int shift = 0; shift < 64; shift += 8) record += static_cast<char>(checksum >> shift);
  return sink_.write(record);
}

}  // namespace berth::storage
