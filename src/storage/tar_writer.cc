// Header blocks and PAX records of written archives.
#include "storage/tar_writer.h"

#include <algorithm>
#include <cstring>

#include "base/format.h"
#include "storage/layer_names.h"

namespace berth::storage {
namespace {

constexpr uint64_t max_octal_size = 077777777777;  // eleven digits
constexpr uint32_t max_octal_id = 07777777;        // seven

char type_flag(TarType type) {
  switch (type) {
    case TarType::File:
      return '0';
    case TarType::HardLink:
      return '1';
    case TarType::Symlink:
      return '2';
    case TarType::CharDevice:
      return '3';
    case TarType::BlockDevice:
      return '4';
    case TarType::Directory:
      return '5';
    case TarType::Fifo:
      return '6';
  }
  return '0';
}

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<signed char>(c) > 0; });
}

std::string pax_record(std::string_view key, std::string_view value) {
  size_t base = key.size() + value.size() + 3;
  size_t length = base + 1;
  while (fmt::formatted_size("{}", length) + base != length)
    length = base + fmt::formatted_size("{}", length);
  return fmt::format("{} {}={}\n", length, key, value);
}

struct UstarName {
  std::string_view prefix;
  std::string_view name;
  bool fits = false;
};

/// ustar splits at a slash: up to 155 bytes before it, up to 100 after.
UstarName split_ustar_name(std::string_view name) {
  if (!is_ascii(name)) return {};
  if (name.size() <= 100) return {{}, name, true};
  size_t slash = name.rfind('/', std::min<size_t>(155, name.size() - 2));
  if (slash == std::string_view::npos || slash == 0 || name.size() - slash - 1 > 100) return {};
  return {name.substr(0, slash), name.substr(slash + 1), true};
}

class Block {
 public:
  void text(size_t at, size_t size, std::string_view value) {
    std::memcpy(bytes_ + at, value.data(), std::min(size, value.size()));
  }
  void octal(size_t at, size_t size, uint64_t value) {
    std::string digits = fmt::format("{:0{}o}", value, size - 1);
    text(at, size, digits);
  }
  std::string_view seal() {
    std::memset(bytes_ + 148, ' ', 8);
    unsigned sum = 0;
    for (char c : bytes_) sum += static_cast<unsigned char>(c);
    text(148, 8, fmt::format("{:06o}", sum));
    bytes_[154] = '\0';
    return {bytes_, tar_block};
  }

 private:
  char bytes_[tar_block] = {};
};

std::string_view ustar_block(Block& block, const TarEntry& entry, uint64_t size) {
  UstarName name = split_ustar_name(entry.name);
  // With a PAX path the field is only for people who look.
  block.text(0, 100, name.fits ? name.name : std::string_view(entry.name).substr(0, 100));
  block.octal(100, 8, entry.mode & 07777);
  block.octal(108, 8, std::min(entry.uid, max_octal_id));
  block.octal(116, 8, std::min(entry.gid, max_octal_id));
  block.octal(124, 12, std::min(size, max_octal_size));
  block.octal(136, 12, static_cast<uint64_t>(std::clamp<int64_t>(entry.mtime.seconds, 0, max_octal_size)));
  char type = type_flag(entry.type);
  block.text(156, 1, std::string_view(&type, 1));
  block.text(157, 100, entry.link);
  block.text(257, 8, std::string_view("ustar\00000", 8));
  bool is_device = entry.type == TarType::CharDevice || entry.type == TarType::BlockDevice;
  block.octal(329, 8, is_device ? std::min(entry.major, max_octal_id) : 0);
  block.octal(337, 8, is_device ? std::min(entry.minor, max_octal_id) : 0);
  if (name.fits) block.text(345, 155, name.prefix);
  return block.seal();
}

/// Records for what the ustar header cannot hold, in the order of their keys.
std::string pax_records(const TarEntry& entry, uint64_t size) {
  std::string records;
  for (const sys::Xattr& attribute : entry.xattrs) {
    records += pax_record("SCHILY.xattr." + attribute.name, attribute.value);
  }
  if (entry.gid > max_octal_id) records += pax_record("gid", std::to_string(entry.gid));
  if (entry.link.size() > 100 || !is_ascii(entry.link)) records += pax_record("linkpath", entry.link);
  bool plain_time = entry.mtime.seconds >= 0 && static_cast<uint64_t>(entry.mtime.seconds) <= max_octal_size;
  if (!plain_time) records += pax_record("mtime", std::to_string(entry.mtime.seconds));
  if (!split_ustar_name(entry.name).fits) records += pax_record("path", entry.name);
  if (size > max_octal_size) records += pax_record("size", std::to_string(size));
  if (entry.uid > max_octal_id) records += pax_record("uid", std::to_string(entry.uid));
  return records;
}

}  // namespace

Result<void> TarWriter::put(std::string_view bytes) {
  bytes_ += bytes.size();
  if (recipe_ != nullptr) CHECK(recipe_->literal(bytes));
  return sink_.write(bytes);
}

Result<void> TarWriter::content(std::string_view bytes) {
  return put(bytes);
}

Result<void> TarWriter::content_of(std::string_view path, uint64_t offset, std::string_view bytes) {
  bytes_ += bytes.size();
  if (recipe_ != nullptr) CHECK(recipe_->content(path, offset, bytes.size()));
  return sink_.write(bytes);
}

Result<void> TarWriter::end_file() {
  static constexpr char zeros[tar_block] = {};
  size_t padding = (tar_block - bytes_ % tar_block) % tar_block;
  return put(std::string_view(zeros, padding));
}

Result<void> TarWriter::pax_header(std::string_view name, std::string_view records) {
  auto [parent, base] = split_path(name.ends_with('/') ? name.substr(0, name.size() - 1) : name);
  std::string pax_name =
      parent.empty() ? fmt::format("PaxHeaders.0/{}", base) : fmt::format("{}/PaxHeaders.0/{}", parent, base);
  std::erase_if(pax_name, [](char c) { return static_cast<signed char>(c) <= 0; });
  if (!split_ustar_name(pax_name).fits) pax_name = pax_name.substr(0, 100);
  TarEntry entry{.name = std::move(pax_name), .mode = 0};
  Block block;
  ustar_block(block, entry, records.size());
  block.text(156, 1, "x");
  CHECK(put(block.seal()));
  CHECK(put(records));
  return end_file();
}

Result<void> TarWriter::write_header(const TarEntry& entry, uint64_t size, std::string records) {
  if (!records.empty()) CHECK(pax_header(entry.name, records));
  Block block;
  return put(ustar_block(block, entry, size));
}

Result<void> TarWriter::header(const TarEntry& entry) {
  uint64_t size = entry.type == TarType::File ? entry.size : 0;
  return write_header(entry, size, pax_records(entry, size));
}

Result<void> TarWriter::file(TarEntry entry, std::string_view bytes) {
  entry.type = TarType::File;
  entry.size = bytes.size();
  CHECK(header(entry));
  CHECK(content(bytes));
  return end_file();
}

Result<void> TarWriter::sparse_header(const TarEntry& entry, const std::vector<SparseExtent>& extents) {
  std::string map = fmt::format("{}\n", extents.size());
  uint64_t stored = 0;
  for (const SparseExtent& extent : extents) {
    map += fmt::format("{}\n{}\n", extent.offset, extent.length);
    stored += extent.length;
  }
  map.resize((map.size() + tar_block - 1) / tar_block * tar_block, '\0');
  std::string records = pax_record("GNU.sparse.major", "1") + pax_record("GNU.sparse.minor", "0") +
                        pax_record("GNU.sparse.name", entry.name) +
                        pax_record("GNU.sparse.realsize", std::to_string(entry.size));
  TarEntry outer = entry;
  auto [parent, base] = split_path(entry.name);
  outer.name = parent.empty() ? fmt::format("GNUSparseFile.0/{}", base)
                              : fmt::format("{}/GNUSparseFile.0/{}", parent, base);
  uint64_t size = map.size() + stored;
  CHECK(write_header(outer, size, records + pax_records(outer, size)));
  return put(map);
}

Result<void> TarWriter::finish() {
  static constexpr char zeros[2 * tar_block] = {};
  return put(std::string_view(zeros, sizeof zeros));
}

}  // namespace berth::storage
