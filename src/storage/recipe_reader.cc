// Replaying recipes.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "base/format.h"
#include "storage/checksum.h"
#include "storage/recipe.h"

namespace berth::storage {
namespace {

constexpr std::string_view magic_without_checksum = "berthtar1\n";
constexpr size_t copy_chunk = 256 * 1024;
constexpr uint64_t max_path = 8192;

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

/// Buffered reading of records.
class RecipeReader::Records {
 public:
  explicit Records(ByteSource& source) : source_(source), buffer_(64 * 1024) {}

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

RecipeReader::RecipeReader(std::unique_ptr<Records> records) : records_(std::move(records)) {}
RecipeReader::~RecipeReader() = default;
RecipeReader::RecipeReader(RecipeReader&&) noexcept = default;

Result<RecipeReader> RecipeReader::open(ByteSource& recipe) {
  RecipeReader reader(std::make_unique<Records>(recipe));
  TRY(std::string start, reader.records_->text(kRecipeMagic.size(), kRecipeMagic.size()));
  reader.has_checksum_ = start == kRecipeMagic;
  if (!reader.has_checksum_ && start != magic_without_checksum)
    return Error(Kind::Corrupt, "layer recipe: unknown format");
  return reader;
}

Result<void> RecipeReader::replay(const sys::RootDir& tree, ByteSink& out, std::stop_token stop) {
  ChecksumSink checked(&out, crc64);
  ContentReader content(tree, checked, stop);
  while (true) {
    if (stop.stop_requested()) return Error(Kind::Cancelled, "cancelled");
    TRY(bool end, records_->at_end());
    if (end && has_checksum_) return Error(Kind::Corrupt, "layer recipe ends early");
    if (end) return {};
    TRY(char kind, records_->byte());
    if (kind == 'L') {
      TRY(uint64_t length, records_->varint());
      TRY(std::string bytes, records_->text(length, kMaxRecipeLiteral));
      CHECK(checked.write(bytes));
    } else if (kind == 'F') {
      TRY(uint64_t path_length, records_->varint());
      TRY(std::string path, records_->text(path_length, max_path));
      TRY(uint64_t offset, records_->varint());
      TRY(uint64_t length, records_->varint());
      CHECK(content.copy(path, offset, length));
    } else if (kind == 'C' && has_checksum_) {
      TRY(std::string bytes, records_->text(sizeof(uint64_t), sizeof(uint64_t)));
      uint64_t recorded = 0;
      for (size_t i = bytes.size(); i-- > 0;) recorded = recorded << 8 | static_cast<uint8_t>(bytes[i]);
      if (recorded != checked.checksum())
        return Error(Kind::Corrupt, "damaged on disk: its files are not what they were when it was made");
      return {};
    } else {
      return Error(Kind::Corrupt, "layer recipe: unknown record");
    }
  }
}

}  // namespace berth::storage
