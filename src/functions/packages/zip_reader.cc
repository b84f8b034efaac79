#include "functions/packages/zip_reader.h"

#include <isa-l/crc.h>
#include <isa-l/igzip_lib.h>
#include <sys/stat.h>

#include <algorithm>
#include <memory>
#include <set>

#include "base/format.h"

namespace berth::functions {
namespace {

constexpr uint32_t local_signature = 0x04034b50;
constexpr uint32_t central_signature = 0x02014b50;
constexpr uint32_t end_signature = 0x06054b50;
constexpr uint32_t end64_signature = 0x06064b50;
constexpr uint32_t locator64_signature = 0x07064b50;
constexpr size_t local_size = 30, central_size = 46, end_size = 22, end64_size = 56, locator64_size = 20;
constexpr uint16_t stored = 0, deflated = 8;
constexpr uint16_t encrypted_flag = 1;
constexpr uint16_t made_by_unix = 3;
constexpr uint16_t zip64_field = 1;

Error damaged(std::string_view what) {
  return failure(Kind::InvalidArgument, "the zip archive is damaged: {}", what);
}

/// Little-endian fields of a record, bounds checked once per record.
class Record {
 public:
  explicit Record(std::string_view bytes) : bytes_(bytes) {}
  uint16_t u16(size_t at) const { return static_cast<uint16_t>(byte(at) | byte(at + 1) << 8); }
  uint32_t u32(size_t at) const { return u16(at) | static_cast<uint32_t>(u16(at + 2)) << 16; }
  uint64_t u64(size_t at) const { return u32(at) | static_cast<uint64_t>(u32(at + 4)) << 32; }

 private:
  uint32_t byte(size_t at) const { return static_cast<unsigned char>(bytes_[at]); }
  std::string_view bytes_;
};

Result<std::string_view> piece(std::string_view bytes, uint64_t offset, uint64_t size) {
  if (offset > bytes.size() || size > bytes.size() - offset) return damaged("a record lies outside of it");
  return bytes.substr(offset, size);
}

/// Where the central directory is.
struct Directory {
  uint64_t entries = 0, size = 0, offset = 0;
};

Result<Directory> find_directory64(std::string_view bytes, size_t end_at) {
  TRY(auto locator, piece(bytes, end_at - locator64_size, locator64_size));
  if (Record(locator).u32(0) != locator64_signature) return damaged("its zip64 locator is missing");
  TRY(auto record, piece(bytes, Record(locator).u64(8), end64_size));
  if (Record(record).u32(0) != end64_signature) return damaged("its zip64 end record is missing");
  return Directory{
      .entries = Record(record).u64(32), .size = Record(record).u64(40), .offset = Record(record).u64(48)};
}

Result<Directory> find_directory(std::string_view bytes) {
  if (bytes.size() < end_size) return Error(Kind::InvalidArgument, "not a zip archive");
  size_t lowest = bytes.size() > end_size + 0xffff ? bytes.size() - end_size - 0xffff : 0;
  for (size_t at = bytes.size() - end_size + 1; at-- > lowest;) {
    Record end(bytes.substr(at, end_size));
    if (end.u32(0) != end_signature || at + end_size + end.u16(20) != bytes.size()) continue;
    bool needs64 = end.u16(10) == 0xffff || end.u32(12) == 0xffffffff || end.u32(16) == 0xffffffff;
    if (needs64 && at >= locator64_size) return find_directory64(bytes, at);
    if (end.u16(4) != 0 || end.u16(6) != 0) return damaged("it is one part of several");
    return Directory{.entries = end.u16(10), .size = end.u32(12), .offset = end.u32(16)};
  }
  return Error(Kind::InvalidArgument, "not a zip archive: it has no end record");
}

/// The zip64 extra field holds, in this order, the values that did not fit.
Result<void> read_zip64(std::string_view extra, ZipEntry& entry) {
  while (extra.size() >= 4) {
    uint16_t id = Record(extra).u16(0);
    TRY(auto field, piece(extra, 4, Record(extra).u16(2)));
    extra.remove_prefix(4 + field.size());
    if (id != zip64_field) continue;
    for (uint64_t* value : {&entry.size, &entry.packed_size, &entry.header_offset}) {
      if (*value != 0xffffffff) continue;
      if (field.size() < 8) return damaged("a zip64 field is too short");
      *value = Record(field).u64(0);
      field.remove_prefix(8);
    }
  }
  return {};
}

/// "a/./b//c/" becomes "a/b/c"; what climbs, is absolute or holds NUL is refused.
Result<std::string> clean_name(std::string_view name) {
  auto refused = [&](std::string_view why) {
    return failure(Kind::InvalidArgument, "the zip archive's entry \"{}\" {}", name.substr(0, 200), why);
  };
  if (name.find('\0') != std::string_view::npos) return refused("has a NUL in its name");
  if (name.starts_with('/')) return refused("has an absolute path");
  std::string clean;
  while (!name.empty()) {
    size_t slash = name.find('/');
    std::string_view component = name.substr(0, slash);
    name.remove_prefix(slash == std::string_view::npos ? name.size() : slash + 1);
    if (component.empty() || component == ".") continue;
    if (component == "..")
      return failure(Kind::InvalidArgument, "the zip archive has an entry that leads out of it");
    if (component.size() > 255)
      return failure(Kind::InvalidArgument, "the zip archive has a name of more than 255 bytes");
    if (!clean.empty()) clean.push_back('/');
    clean.append(component);
  }
  return clean;
}

void read_attributes(const Record& central, bool ends_in_slash, ZipEntry& entry) {
  uint32_t attributes = central.u32(38);
  bool is_unix = central.u16(4) >> 8 == made_by_unix;
  uint32_t mode = is_unix ? attributes >> 16 : 0;
  entry.mode = mode & 0777;
  if (ends_in_slash || (mode & S_IFMT) == S_IFDIR || (!is_unix && (attributes & 0x10) != 0)) {
    entry.type = ZipEntry::Type::Directory;
  } else if ((mode & S_IFMT) == S_IFLNK) {
    entry.type = ZipEntry::Type::Symlink;
  }
}

Result<ZipEntry> read_entry(std::string_view bytes, uint64_t& at, const ZipLimits& limits) {
  TRY(auto fixed, piece(bytes, at, central_size));
  Record central(fixed);
  if (central.u32(0) != central_signature) return damaged("its directory has something else than entries");
  TRY(auto name, piece(bytes, at + central_size, central.u16(28)));
  TRY(auto extra, piece(bytes, at + central_size + name.size(), central.u16(30)));
  at += central_size + name.size() + extra.size() + central.u16(32);
  if (name.size() > limits.max_name) return damaged("a name is too long");
  ZipEntry entry{.method = central.u16(10),
                 .crc = central.u32(16),
                 .packed_size = central.u32(20),
                 .size = central.u32(24),
                 .header_offset = central.u32(42)};
  CHECK(read_zip64(extra, entry));
  TRY(entry.name, clean_name(name));
  read_attributes(central, name.ends_with('/'), entry);
  if ((central.u16(8) & encrypted_flag) != 0) {
    return failure(Kind::InvalidArgument, "the zip archive's entry \"{}\" is encrypted", entry.name);
  }
  if (entry.method != stored && entry.method != deflated) {
    return failure(
        Kind::InvalidArgument,
        "the zip archive's entry \"{}\" is compressed by method {}: only stored and deflated are known",
        entry.name, entry.method);
  }
  if (entry.method == stored && entry.size != entry.packed_size)
    return damaged("a stored entry has two sizes");
  return entry;
}

/// Files and links once each; none is a parent of another.
Result<void> check_names(const std::vector<ZipEntry>& entries) {
  std::set<std::string_view> leaves;
  for (const ZipEntry& entry : entries) {
    if (entry.type == ZipEntry::Type::Directory) continue;
    if (entry.name.empty()) return damaged("a file has no name");
    if (!leaves.insert(entry.name).second) {
      return failure(Kind::InvalidArgument, "the zip archive holds \"{}\" twice", entry.name);
    }
  }
  for (const ZipEntry& entry : entries) {
    std::string_view name = entry.name;
    if (entry.type == ZipEntry::Type::Directory && leaves.count(name) != 0) {
      return failure(Kind::InvalidArgument, "the zip archive holds \"{}\" as a file and as a directory",
                     name);
    }
    for (size_t slash = name.rfind('/'); slash != std::string_view::npos;
         slash = name.rfind('/', slash - 1)) {
      if (leaves.count(name.substr(0, slash)) != 0) {
        return failure(Kind::InvalidArgument, "the zip archive's \"{}\" lies below a file or link", name);
      }
      if (slash == 0) break;
    }
  }
  return {};
}

class Inflater {
 public:
  Inflater() : state_(std::make_unique<inflate_state>()), buffer_(new char[buffer_size]) {
    isal_inflate_init(state_.get());
    state_->crc_flag = ISAL_DEFLATE;
  }

  /// Hands every piece of output to `take`.
  template <class Take>
  Result<void> run(std::string_view packed, Take take) {
    state_->next_in = const_cast<uint8_t*>(reinterpret_cast<const uint8_t*>(packed.data()));
    state_->avail_in = static_cast<uint32_t>(packed.size());
    while (state_->block_state != ISAL_BLOCK_FINISH) {
      state_->next_out = reinterpret_cast<uint8_t*>(buffer_.get());
      state_->avail_out = buffer_size;
      if (isal_inflate(state_.get()) != ISAL_DECOMP_OK) return damaged("compressed data cannot be read");
      size_t made = buffer_size - state_->avail_out;
      if (made == 0 && state_->block_state != ISAL_BLOCK_FINISH)
        return damaged("compressed data ends too soon");
      CHECK(take(std::string_view(buffer_.get(), made)));
    }
    return {};
  }

 private:
  static constexpr size_t buffer_size = 64 << 10;
  std::unique_ptr<inflate_state> state_;
  std::unique_ptr<char[]> buffer_;
};

}  // namespace

Result<ZipReader> ZipReader::open(std::string_view bytes, const ZipLimits& limits) {
  TRY(Directory directory, find_directory(bytes));
  TRY(auto central, piece(bytes, directory.offset, directory.size));
  if (directory.entries > limits.max_entries) {
    return failure(Kind::Exhausted, "the zip archive has {} entries, more than {}", directory.entries,
                   limits.max_entries);
  }
  if (directory.entries * central_size > central.size()) return damaged("its directory is too short");
  ZipReader reader(bytes);
  uint64_t at = 0, packed = 0;
  for (uint64_t i = 0; i < directory.entries; ++i) {
    TRY(ZipEntry entry, read_entry(central, at, limits));
    // Sizes are hostile 64-bit numbers: compared before they are added.
    if (entry.packed_size > bytes.size() - packed) return damaged("its entries overlap");
    packed += entry.packed_size;
    if (entry.size > limits.max_unpacked_bytes - reader.unpacked_bytes_) {
      return failure(Kind::Exhausted, "Unzipped size must be smaller than {} bytes",
                     limits.max_unpacked_bytes);
    }
    reader.unpacked_bytes_ += entry.size;
    if (!entry.name.empty()) reader.entries_.push_back(std::move(entry));
  }
  if (reader.unpacked_bytes_ > limits.ratio_grace_bytes &&
      reader.unpacked_bytes_ / limits.max_ratio > bytes.size()) {
    return failure(Kind::Exhausted, "the zip archive of {} bytes claims to hold {} bytes", bytes.size(),
                   reader.unpacked_bytes_);
  }
  CHECK(check_names(reader.entries_));
  return reader;
}

Result<void> ZipReader::extract(const ZipEntry& entry, storage::ByteSink& sink) const {
  TRY(auto fixed, piece(bytes_, entry.header_offset, local_size));
  Record local(fixed);
  if (local.u32(0) != local_signature) return damaged("an entry's header is not where it should be");
  uint64_t start = entry.header_offset + local_size + local.u16(26) + local.u16(28);
  TRY(auto packed, piece(bytes_, start, entry.packed_size));
  if (packed.size() > UINT32_MAX) return damaged("an entry has more than 4 GiB");
  uint32_t crc = 0;
  uint64_t size = 0;
  auto take = [&](std::string_view piece) -> Result<void> {
    size += piece.size();
    if (size > entry.size) return damaged("an entry is larger than it says");
    crc = crc32_gzip_refl(crc, reinterpret_cast<const uint8_t*>(piece.data()), piece.size());
    return sink.write(piece);
  };
  if (entry.method == stored) {
    CHECK(take(packed));
  } else {
    CHECK(Inflater().run(packed, take));
  }
  if (size != entry.size || crc != entry.crc) return damaged("an entry fails its checksum");
  return {};
}

}  // namespace berth::functions
