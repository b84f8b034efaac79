// The tar stream's state machine.
#include "storage/tar_reader.h"

#include <algorithm>

#include "base/format.h"

namespace berth::storage {
namespace {

constexpr std::string_view xattr_prefix = "SCHILY.xattr.";

uint64_t padding_of(uint64_t size) {
  return (tar_block - size % tar_block) % tar_block;
}

Result<uint32_t> narrow_id(int64_t value, std::string_view what) {
  if (value < 0 || value > UINT32_MAX - 1)
    return failure(Kind::Corrupt, "invalid tar header: {} of {}", what, value);
  return static_cast<uint32_t>(value);
}

Result<TarType> type_of(const TarHeader& header) {
  switch (header.type) {
    case '\0':
      // V7 knows no directories; a slash at the end makes one.
      return header.name.ends_with('/') ? TarType::Directory : TarType::File;
    case '0':
    case '7':
    case 'S':
      return TarType::File;
    case '1':
      return TarType::HardLink;
    case '2':
      return TarType::Symlink;
    case '3':
      return TarType::CharDevice;
    case '4':
      return TarType::BlockDevice;
    case '5':
      return TarType::Directory;
    case '6':
      return TarType::Fifo;
    default:
      return failure(Kind::InvalidArgument, "tar entry \"{}\": unknown type '{}'", header.name,
                     header.type >= ' ' && header.type < 127 ? std::string(1, header.type)
                                                             : fmt::format("{:#x}", header.type));
  }
}

Result<std::vector<int64_t>> parse_number_list(std::string_view text) {
  std::vector<int64_t> numbers;
  while (!text.empty()) {
    size_t comma = text.find(',');
    TRY(int64_t number, parse_pax_number(text.substr(0, comma)));
    numbers.push_back(number);
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
  }
  return numbers;
}

}  // namespace

Result<std::string_view> BufferedChunks::next_chunk() {
  TRY(size_t count, source_.read(buffer_));
  return std::string_view(buffer_.data(), count);
}

Result<bool> TarReader::fill() {
  if (!chunk_.empty()) return true;
  TRY(chunk_, source_.next_chunk());
  return !chunk_.empty();
}

/// `count` bytes in one piece, recorded as literal. Fewer at the end of the stream.
Result<std::string_view> TarReader::take(size_t count) {
  TRY(bool more, fill());
  std::string_view result;
  if (more && chunk_.size() >= count) {
    result = chunk_.substr(0, count);
    chunk_.remove_prefix(count);
  } else {
    scratch_.clear();
    while (scratch_.size() < count) {
      TRY(bool available, fill());
      if (!available) break;
      size_t part = std::min(count - scratch_.size(), chunk_.size());
      scratch_ += chunk_.substr(0, part);
      chunk_.remove_prefix(part);
    }
    result = scratch_;
  }
  position_ += result.size();
  if (recipe_ != nullptr) CHECK(recipe_->literal(result));
  return result;
}

Result<void> TarReader::skip(uint64_t count) {
  while (count > 0) {
    TRY(bool more, fill());
    if (!more) return Error(Kind::Corrupt, "tar archive ends early");
    size_t part = static_cast<size_t>(std::min<uint64_t>(count, chunk_.size()));
    if (recipe_ != nullptr) CHECK(recipe_->literal(chunk_.substr(0, part)));
    chunk_.remove_prefix(part);
    position_ += part;
    count -= part;
  }
  return {};
}

/// False at the end: two zero blocks, or the stream ends at an entry's edge as some writers leave it.
Result<bool> TarReader::read_header(TarHeader& header) {
  TRY(std::string_view block, take(tar_block));
  if (block.empty()) return false;
  if (block.size() < tar_block) return Error(Kind::Corrupt, "tar archive ends early");
  if (is_zero_block(block)) {
    TRY(std::string_view second, take(tar_block));
    if (!second.empty() && second.size() < tar_block) return Error(Kind::Corrupt, "tar archive ends early");
    if (second.empty() || is_zero_block(second)) return false;
    return failure(Kind::Corrupt, "invalid tar header at byte {}: follows an end mark",
                   position_ - tar_block);
  }
  auto parsed = parse_tar_header(block);
  if (!parsed) {
    return failure(Kind::Corrupt, "{} (at byte {})", parsed.error().message(), position_ - tar_block);
  }
  header = std::move(*parsed);
  if (header.type == 'S') sparse_block_ = block;
  return true;
}

Result<std::string> TarReader::take_extension(const TarHeader& header) {
  if (static_cast<uint64_t>(header.size) > limits_.max_header_bytes) {
    return failure(Kind::Exhausted, "tar extension header of {} bytes is larger than the limit of {}",
                   header.size, limits_.max_header_bytes);
  }
  size_t size = static_cast<size_t>(header.size);
  TRY(std::string_view bytes, take(size));
  if (bytes.size() < size) return Error(Kind::Corrupt, "tar archive ends early");
  std::string content(bytes);
  CHECK(skip(padding_of(size)));
  return content;
}

Result<bool> TarReader::next(TarEntry& entry) {
  if (ended_) return false;
  CHECK(skip(payload_left_));
  // Some writers (docker's command, with a Dockerfile from elsewhere) stop behind the last byte of content.
  TRY(std::string_view padding, take(padding_));
  ended_ = padding.size() < padding_;
  payload_left_ = padding_ = 0;
  if (ended_) return false;
  extents_.clear();
  extent_ = 0;
  entry = {};

  PaxRecords pax;
  std::string long_name;
  std::string long_link;
  TarHeader header;
  while (true) {
    TRY(bool found, read_header(header));
    if (!found) {
      ended_ = true;
      return false;
    }
    // Global headers are read over, as Go does: git puts a comment there.
    bool is_extension = header.type == 'x' || header.type == 'X' || header.type == 'g' ||
                        header.type == 'L' || header.type == 'K';
    if (!is_extension) break;
    if (++entries_ > limits_.max_entries) {
      return failure(Kind::Exhausted, "archive has more entries than the limit of {}", limits_.max_entries);
    }
    TRY(std::string content, take_extension(header));
    if (header.type == 'L') long_name = content.substr(0, content.find('\0'));
    if (header.type == 'K') long_link = content.substr(0, content.find('\0'));
    if (header.type == 'x' || header.type == 'X') {
      TRY(pax, parse_pax(content));
    }
  }
  if (++entries_ > limits_.max_entries) {
    return failure(Kind::Exhausted, "archive has more entries than the limit of {}", limits_.max_entries);
  }
  if (!long_name.empty()) header.name = std::move(long_name);
  if (!long_link.empty()) header.link = std::move(long_link);
  entry.mtime = {.seconds = header.mtime};
  CHECK(apply_pax(pax, header, entry));
  CHECK(start_entry(header, entry));
  if (header.type == 'S' && header.is_gnu) {
    CHECK(read_gnu_sparse(sparse_block_, entry));
  } else if (entry.type == TarType::File) {
    CHECK(read_pax_sparse(pax, entry));
  }
  claimed_bytes_ += entry.type == TarType::File ? entry.size : 0;
  if (claimed_bytes_ > limits_.max_bytes) {
    return failure(Kind::Exhausted, "archive unpacks to more than the limit of {} bytes", limits_.max_bytes);
  }
  return true;
}

Result<void> TarReader::apply_pax(const PaxRecords& pax, TarHeader& header, TarEntry& entry) {
  if (auto value = pax.find("path")) header.name = *value;
  if (auto value = pax.find("linkpath")) header.link = *value;
  if (auto value = pax.find("size")) {
    TRY(header.size, parse_pax_number(*value));
  }
  if (auto value = pax.find("uid")) {
    TRY(header.uid, parse_pax_number(*value));
  }
  if (auto value = pax.find("gid")) {
    TRY(header.gid, parse_pax_number(*value));
  }
  if (auto value = pax.find("mtime")) {
    TRY(entry.mtime, parse_pax_time(*value));
  }
  for (auto it = pax.values.lower_bound(xattr_prefix); it != pax.values.end(); ++it) {
    if (!it->first.starts_with(xattr_prefix)) break;
    std::string name = it->first.substr(xattr_prefix.size());
    if (name.empty() || name.size() > 255 || name.find('\0') != std::string::npos) {
      return failure(Kind::Corrupt, "tar entry \"{}\": malformed attribute name", header.name);
    }
    if (it->second.size() > limits_.max_xattr_value || entry.xattrs.size() >= limits_.max_xattrs) {
      return failure(Kind::Exhausted, "tar entry \"{}\": extended attributes beyond the limit", header.name);
    }
    entry.xattrs.push_back({std::move(name), it->second});
  }
  return {};
}

Result<void> TarReader::start_entry(const TarHeader& header, TarEntry& entry) {
  TRY(entry.type, type_of(header));
  if (header.name.empty()) return Error(Kind::Corrupt, "tar entry without a name");
  if (header.name.size() > limits_.max_path || header.link.size() > limits_.max_path) {
    return failure(Kind::InvalidArgument, "tar entry \"{}...\": name is longer than {} bytes",
                   header.name.substr(0, 64), limits_.max_path);
  }
  entry.name = header.name;
  entry.link = header.link;
  entry.mode = header.mode;
  TRY(entry.uid, narrow_id(header.uid, "owner"));
  TRY(entry.gid, narrow_id(header.gid, "group"));
  TRY(entry.major, narrow_id(header.major, "device number"));
  TRY(entry.minor, narrow_id(header.minor, "device number"));
  // Links, devices, directories and fifos have no content, whatever their size field says (Go, GNU tar).
  if (entry.type == TarType::File) {
    entry.size = static_cast<uint64_t>(header.size);
    payload_left_ = entry.size;
    padding_ = padding_of(entry.size);
    extents_ = {{.offset = 0, .length = entry.size}};
    file_offset_ = 0;
  }
  return {};
}

/// Old GNU sparse: four extents in the header block, twenty-one in each extension block.
Result<void> TarReader::read_gnu_sparse(std::string_view block, TarEntry& entry) {
  TRY(int64_t real_size, parse_tar_number(block.substr(483, 12)));
  std::vector<int64_t> numbers;
  auto read_map = [&](std::string_view fields, size_t count) -> Result<void> {
    for (size_t i = 0; i < count && fields[i * 24] != '\0'; ++i) {
      TRY(int64_t offset, parse_tar_number(fields.substr(i * 24, 12)));
      TRY(int64_t length, parse_tar_number(fields.substr(i * 24 + 12, 12)));
      numbers.push_back(offset);
      numbers.push_back(length);
    }
    return {};
  };
  CHECK(read_map(block.substr(386, 96), 4));
  bool extended = block[482] != '\0';
  while (extended) {
    if (numbers.size() * 12 > limits_.max_header_bytes)
      return Error(Kind::Exhausted, "tar sparse map is too large");
    TRY(std::string_view more, take(tar_block));
    if (more.size() < tar_block) return Error(Kind::Corrupt, "tar archive ends early");
    std::string copy(more);
    CHECK(read_map(std::string_view(copy).substr(0, 504), 21));
    extended = copy[504] != '\0';
  }
  entry.size = static_cast<uint64_t>(std::max<int64_t>(real_size, 0));
  return set_extents(numbers, entry);
}

Result<void> TarReader::read_pax_sparse(const PaxRecords& pax, TarEntry& entry) {
  auto major = pax.find("GNU.sparse.major");
  auto minor = pax.find("GNU.sparse.minor");
  auto map = pax.find("GNU.sparse.map");
  bool is_1_0 = major == "1" && minor == "0";
  bool is_0_x = map || !pax.sparse_numbers.empty();
  if (!is_1_0 && !is_0_x) return {};
  if (auto name = pax.find("GNU.sparse.name")) entry.name = *name;
  if (entry.name.size() > limits_.max_path)
    return Error(Kind::InvalidArgument, "tar entry: name is too long");
  auto size = pax.find("GNU.sparse.realsize");
  if (!size) size = pax.find("GNU.sparse.size");
  if (!size) return failure(Kind::Corrupt, "tar entry \"{}\": sparse file without its size", entry.name);
  TRY(int64_t real_size, parse_pax_number(*size));
  entry.size = static_cast<uint64_t>(real_size);
  if (is_1_0) return read_sparse_1_0(entry);
  if (!pax.sparse_numbers.empty()) return set_extents(pax.sparse_numbers, entry);
  TRY(std::vector<int64_t> numbers, parse_number_list(*map));
  return set_extents(numbers, entry);
}

/// The map is text at the start of the content, in whole blocks: count, then offset and length in turn, one
/// per line.
Result<void> TarReader::read_sparse_1_0(TarEntry& entry) {
  std::string text;
  std::vector<int64_t> numbers;
  size_t parsed = 0;
  int64_t wanted = -1;
  while (wanted < 0 || static_cast<int64_t>(numbers.size()) < wanted) {
    size_t newline = text.find('\n', parsed);
    if (newline == std::string::npos) {
      if (payload_left_ < tar_block || text.size() > limits_.max_header_bytes) {
        return failure(Kind::Corrupt, "tar entry \"{}\": malformed sparse map", entry.name);
      }
      TRY(std::string_view block, take(tar_block));
      if (block.size() < tar_block) return Error(Kind::Corrupt, "tar archive ends early");
      text += block;
      payload_left_ -= tar_block;
      continue;
    }
    TRY(int64_t number, parse_pax_number(std::string_view(text).substr(parsed, newline - parsed)));
    parsed = newline + 1;
    if (wanted < 0) {
      if (number > static_cast<int64_t>(limits_.max_header_bytes)) {
        return failure(Kind::Exhausted, "tar entry \"{}\": sparse map is too large", entry.name);
      }
      wanted = number * 2;
    } else {
      numbers.push_back(number);
    }
  }
  return set_extents(numbers, entry);
}

/// Extents must be in order, apart, within the file, and add up to what the archive holds.
Result<void> TarReader::set_extents(const std::vector<int64_t>& numbers, TarEntry& entry) {
  auto malformed = [&] {
    return failure(Kind::Corrupt, "tar entry \"{}\": malformed sparse map", entry.name);
  };
  if (numbers.size() % 2 != 0) return malformed();
  extents_.clear();
  uint64_t end = 0;
  uint64_t total = 0;
  for (size_t i = 0; i < numbers.size(); i += 2) {
    if (numbers[i] < 0 || numbers[i + 1] < 0) return malformed();
    uint64_t offset = static_cast<uint64_t>(numbers[i]);
    uint64_t length = static_cast<uint64_t>(numbers[i + 1]);
    if (offset < end || offset > entry.size || length > entry.size - offset) return malformed();
    end = offset + length;
    total += length;
    if (length > 0) extents_.push_back({.offset = offset, .length = length});
  }
  if (total != payload_left_) return malformed();
  entry.is_sparse = true;
  extent_ = 0;
  file_offset_ = extents_.empty() ? 0 : extents_[0].offset;
  return {};
}

Result<std::optional<TarPiece>> TarReader::data() {
  if (payload_left_ == 0) return std::optional<TarPiece>();
  TRY(bool more, fill());
  if (!more) return Error(Kind::Corrupt, "tar archive ends early");
  const SparseExtent& extent = extents_[extent_];
  uint64_t extent_left = extent.offset + extent.length - file_offset_;
  size_t count = static_cast<size_t>(std::min<uint64_t>(extent_left, chunk_.size()));
  TarPiece piece{.offset = file_offset_, .bytes = chunk_.substr(0, count)};
  chunk_.remove_prefix(count);
  position_ += count;
  payload_left_ -= count;
  file_offset_ += count;
  if (count == extent_left && ++extent_ < extents_.size()) file_offset_ = extents_[extent_].offset;
  return std::optional<TarPiece>(piece);
}

Result<void> TarReader::drain() {
  CHECK(skip(payload_left_ + padding_));
  payload_left_ = padding_ = 0;
  ended_ = true;
  while (true) {
    TRY(bool more, fill());
    if (!more) return {};
    if (recipe_ != nullptr) CHECK(recipe_->literal(chunk_));
    position_ += chunk_.size();
    chunk_ = {};
  }
}

}  // namespace berth::storage
