// ZipReader: what a zip archive holds, read from its central directory (APPNOTE.TXT 6.3). Every byte is
// hostile: names that leave the archive, entries that overlap or claim more than they are, encrypted and
// unknown kinds are refused before anything is written. Pure: bytes in, entries and bytes out.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "storage/byte_stream.h"

namespace berth::functions {

struct ZipLimits {
  uint64_t max_unpacked_bytes = uint64_t{8} << 30;
  uint64_t max_entries = 1'000'000;
  size_t max_name = 4096;
  /// Beyond `ratio_grace_bytes` the content may be this many times the archive (a bomb is all ratio).
  uint64_t max_ratio = 200;
  uint64_t ratio_grace_bytes = uint64_t{250} << 20;
};

struct ZipEntry {
  enum class Type { File, Directory, Symlink };
  std::string name;  ///< relative, no ".", "..", or empty components, no slash at the end
  Type type = Type::File;
  uint32_t mode = 0;  ///< permission bits; 0: the archive has none
  uint16_t method = 0;
  uint32_t crc = 0;
  uint64_t packed_size = 0;
  uint64_t size = 0;
  uint64_t header_offset = 0;
};

class ZipReader {
 public:
  /// `bytes` must outlive the reader. Not a zip, damaged, or with names that are refused: InvalidArgument;
  /// too large: Exhausted.
  static Result<ZipReader> open(std::string_view bytes, const ZipLimits& limits = {});

  const std::vector<ZipEntry>& entries() const { return entries_; }
  uint64_t unpacked_bytes() const { return unpacked_bytes_; }
  /// The entry's content, whose length and CRC are verified while it is written.
  Result<void> extract(const ZipEntry& entry, storage::ByteSink& sink) const;

 private:
  explicit ZipReader(std::string_view bytes) : bytes_(bytes) {}
  std::string_view bytes_;
  std::vector<ZipEntry> entries_;
  uint64_t unpacked_bytes_ = 0;
};

}  // namespace berth::functions
