// Writing and replaying recipes.
#include "storage/recipe.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "base/format.h"

namespace berth::storage {
namespace {

constexpr std::string_view magic = "berthtar1\n";
constexpr size_t literal_flush = 64 * 1024;
constexpr size_t copy_chunk = 256 * 1024;
constexpr uint64_t max_literal_record = 1u << 20;
constexpr uint64_t max_path = 8192;

void append_varint(std::string& out, uint64_t value) {
  while (value >= 0x80) {
    out += static_cast<char>((value & 0x7f) | 0x80);
    value >>= 7;
  }
  out += static_cast<char>(value);
}

/// Buffered reading of records.
class RecordReader {
 public:
  explicit RecordReader(ByteSource& source) : source_(source), buffer_(64 * 1024) {}

  Result<bool> at_end() {
    if (position_ < size_) return false;
    CHECK(fill());
    return size_ == 0;
  }
  Result<char> byte() {
    TRY(bool end, at_end());
    if (end) return Error(Kind::Corrupt, "layer recipe ends early");
    return buffer_[position_++];
  }
  Result<uint64_t> varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 63; shift += 7) {
      TRY(char c, byte());
      value |= static_cast<uint64_t>(c & 0x7f) << shift;
      if ((c & 0x80) == 0) return value;
    }
    return Error(Kind::Corrupt, "layer recipe: malformed number");
  }
  Result<std::string> text(uint64_t length, uint64_t limit) {
    if (length > limit) return Error(Kind::Corrupt, "layer recipe: record too long");
    std::string result;
    result.reserve(length);
    while (result.size() < length) {
      TRY(bool end, at_end());
      if (end) return Error(Kind::Corrupt, "layer recipe ends early");
      size_t count = std::min<size_t>(length - result.size(), size_ - position_);
      result.append(buffer_.data() + position_, count);
      position_ += count;
    }
    return result;
  }

 private:
  Result<void> fill() {
    position_ = 0;
    TRY(size_, source_.read(buffer_));
    return {};
  }
  ByteSource& source_;
  std::vector<char> buffer_;
  size_t position_ = 0;
  size_t size_ = 0;
};

/// Copies file ranges; keeps the last file open, since a sparse file has many records.
class ContentReader {
 public:
  ContentReader(const sys::RootDir& tree, ByteSink& out, std::stop_token stop)
      : tree_(tree), out_(out), stop_(std::move(stop)), buffer_(copy_chunk) {}

  Result<void> copy(const std::string& path, uint64_t offset, uint64_t length) {
    if (path != open_path_) {
      TRY(file_, tree_.open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
      open_path_ = path;
    }
    while (length > 0) {
      if (stop_.stop_requested()) return Error(Kind::Cancelled, "cancelled");
      size_t wanted = static_cast<size_t>(std::min<uint64_t>(length, buffer_.size()));
      ssize_t count = ::pread(file_.get(), buffer_.data(), wanted, static_cast<off_t>(offset));
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return Error::from_errno("read", path, errno);
      if (count == 0) return failure(Kind::Corrupt, "layer file {} is shorter than its recipe says", path);
      CHECK(out_.write(std::string_view(buffer_.data(), static_cast<size_t>(count))));
      offset += static_cast<uint64_t>(count);
      length -= static_cast<uint64_t>(count);
    }
    return {};
  }

 private:
  const sys::RootDir& tree_;
  ByteSink& out_;
  std::stop_token stop_;
  std::vector<char> buffer_;
  std::string open_path_;
  sys::UniqueFd file_;
};

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
    CHECK(sink_.write(magic));
  }
  for (std::string_view rest = literal_; !rest.empty();) {
    std::string_view part = rest.substr(0, max_literal_record);
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

Result<void> RecipeWriter::finish() {
  CHECK(flush_content());
  return flush_literal();
}

Result<void> replay_recipe(ByteSource& recipe, const sys::RootDir& tree, ByteSink& out,
                           std::stop_token stop) {
  RecordReader reader(recipe);
  TRY(std::string start, reader.text(magic.size(), magic.size()));
  if (start != magic) return Error(Kind::Corrupt, "layer recipe: unknown format");
  ContentReader content(tree, out, stop);
  while (true) {
    if (stop.stop_requested()) return Error(Kind::Cancelled, "cancelled");
    TRY(bool end, reader.at_end());
    if (end) return {};
    TRY(char kind, reader.byte());
    if (kind == 'L') {
      TRY(uint64_t length, reader.varint());
      TRY(std::string bytes, reader.text(length, max_literal_record));
      CHECK(out.write(bytes));
    } else if (kind == 'F') {
      TRY(uint64_t path_length, reader.varint());
      TRY(std::string path, reader.text(path_length, max_path));
      TRY(uint64_t offset, reader.varint());
      TRY(uint64_t length, reader.varint());
      CHECK(content.copy(path, offset, length));
    } else {
      return Error(Kind::Corrupt, "layer recipe: unknown record");
    }
  }
}

}  // namespace berth::storage
