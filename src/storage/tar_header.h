// The tar formats' header block and PAX records as pure functions: ustar (POSIX), GNU and old V7. What is
// accepted follows Go's archive/tar, which is what other engines read and write layers with.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace berth::storage {

inline constexpr size_t tar_block = 512;

/// A header block's fields; text cut at the first NUL.
struct TarHeader {
  std::string name;  ///< with the ustar prefix
  std::string link;
  uint32_t mode = 0;
  int64_t uid = 0;
  int64_t gid = 0;
  int64_t size = 0;
  int64_t mtime = 0;
  char type = '0';
  int64_t major = 0;
  int64_t minor = 0;
  bool is_gnu = false;
};

bool is_zero_block(std::string_view block);
/// `block` is 512 bytes. Wrong checksum or malformed numbers: Corrupt.
Result<TarHeader> parse_tar_header(std::string_view block);
/// Octal or, with the high bit, base-256. Malformed or beyond 63 bits: Corrupt.
Result<int64_t> parse_tar_number(std::string_view field);

/// Records of one PAX extended header. GNU.sparse.offset and numbytes, which repeat, are gathered in order.
struct PaxRecords {
  std::map<std::string, std::string, std::less<>> values;
  std::vector<int64_t> sparse_numbers;  ///< offset, length, offset, length, ...
  /// The value, if there is one and it is not empty (empty deletes).
  std::optional<std::string_view> find(std::string_view key) const;
};
Result<PaxRecords> parse_pax(std::string_view records);
/// "12", as PAX writes sizes and ids. Negative or malformed: Corrupt.
Result<int64_t> parse_pax_number(std::string_view text);

struct TarTime {
  int64_t seconds = 0;
  uint32_t nanoseconds = 0;
};
/// "1350244992.023960108", also negative.
Result<TarTime> parse_pax_time(std::string_view text);

}  // namespace berth::storage
