// Header blocks and PAX records.
#include "storage/tar_header.h"

#include <algorithm>
#include <charconv>

#include "base/format.h"

namespace berth::storage {
namespace {

Error bad_header(std::string_view what) {
  return failure(Kind::Corrupt, "invalid tar header: {}", what);
}

std::string_view text_field(std::string_view block, size_t at, size_t size) {
  std::string_view field = block.substr(at, size);
  return field.substr(0, field.find('\0'));
}

bool checksum_matches(std::string_view block, int64_t stored) {
  int64_t plain = 0;
  int64_t with_signs = 0;  // what some old programs summed
  for (size_t i = 0; i < tar_block; ++i) {
    char c = i >= 148 && i < 156 ? ' ' : block[i];
    plain += static_cast<unsigned char>(c);
    with_signs += static_cast<signed char>(c);
  }
  return stored == plain || stored == with_signs;
}

Result<int64_t> parse_base256(std::string_view field) {
  bool negative = (field[0] & 0x40) != 0;
  uint64_t value = 0;
  for (size_t i = 0; i < field.size(); ++i) {
    uint8_t byte = static_cast<uint8_t>(field[i]);
    if (negative) byte = static_cast<uint8_t>(~byte);
    if (i == 0) byte &= 0x7f;
    if ((value >> 56) != 0) return bad_header("a number is too large");
    value = value << 8 | byte;
  }
  if ((value >> 63) != 0) return bad_header("a number is too large");
  return negative ? static_cast<int64_t>(~value) : static_cast<int64_t>(value);
}

}  // namespace

bool is_zero_block(std::string_view block) {
  return std::all_of(block.begin(), block.end(), [](char c) { return c == '\0'; });
}

Result<int64_t> parse_tar_number(std::string_view field) {
  if (!field.empty() && (field[0] & 0x80) != 0) return parse_base256(field);
  auto is_padding = [](char c) { return c == ' ' || c == '\0'; };
  while (!field.empty() && is_padding(field.front())) field.remove_prefix(1);
  while (!field.empty() && is_padding(field.back())) field.remove_suffix(1);
  // Go cuts at the first NUL that is left inside.
  field = field.substr(0, field.find('\0'));
  if (field.empty()) return 0;
  int64_t value = 0;
  auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), value, 8);
  if (error != std::errc{} || end != field.data() + field.size() || value < 0) {
    return bad_header("a number is malformed");
  }
  return value;
}

Result<TarHeader> parse_tar_header(std::string_view block) {
  TRY(int64_t checksum, parse_tar_number(block.substr(148, 8)));
  if (!checksum_matches(block, checksum)) return bad_header("its checksum is wrong");
  TarHeader header;
  header.name = text_field(block, 0, 100);
  header.link = text_field(block, 157, 100);
  header.type = block[156];
  TRY(int64_t mode, parse_tar_number(block.substr(100, 8)));
  header.mode = static_cast<uint32_t>(mode & 07777);
  TRY(header.uid, parse_tar_number(block.substr(108, 8)));
  TRY(header.gid, parse_tar_number(block.substr(116, 8)));
  TRY(header.size, parse_tar_number(block.substr(124, 12)));
  TRY(header.mtime, parse_tar_number(block.substr(136, 12)));
  if (header.size < 0) return bad_header("its size is negative");

  bool is_posix = block.substr(257, 6) == std::string_view("ustar\0", 6);
  header.is_gnu = block.substr(257, 8) == std::string_view("ustar  \0", 8);
  if (is_posix || header.is_gnu) {
    bool is_device = header.type == '3' || header.type == '4';
    if (is_device) {
      TRY(header.major, parse_tar_number(block.substr(329, 8)));
      TRY(header.minor, parse_tar_number(block.substr(337, 8)));
    }
  }
  if (is_posix) {
    std::string_view prefix = text_field(block, 345, 155);
    if (!prefix.empty()) header.name = std::string(prefix) + "/" + header.name;
  }
  return header;
}

std::optional<std::string_view> PaxRecords::find(std::string_view key) const {
  auto it = values.find(key);
  if (it == values.end() || it->second.empty()) return std::nullopt;
  return it->second;
}

Result<int64_t> parse_pax_number(std::string_view text) {
  int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size() || value < 0) {
    return failure(Kind::Corrupt, "invalid PAX number \"{}\"", text.substr(0, 32));
  }
  return value;
}

Result<PaxRecords> parse_pax(std::string_view records) {
  PaxRecords result;
  while (!records.empty()) {
    size_t space = records.find(' ');
    if (space == std::string_view::npos || space > 10) return bad_header("malformed PAX record");
    TRY(int64_t length, parse_pax_number(records.substr(0, space)));
    size_t size = static_cast<size_t>(length);
    if (size <= space + 1 || size > records.size() || records[size - 1] != '\n') {
      return bad_header("malformed PAX record");
    }
    std::string_view record = records.substr(space + 1, size - space - 2);
    records.remove_prefix(size);
    size_t equals = record.find('=');
    if (equals == std::string_view::npos || equals == 0) return bad_header("malformed PAX record");
    std::string_view key = record.substr(0, equals);
    std::string_view value = record.substr(equals + 1);
    if (key == "GNU.sparse.offset" || key == "GNU.sparse.numbytes") {
      bool expects_offset = result.sparse_numbers.size() % 2 == 0;
      if (expects_offset != (key == "GNU.sparse.offset")) return bad_header("malformed sparse map");
      TRY(int64_t number, parse_pax_number(value));
      result.sparse_numbers.push_back(number);
      continue;
    }
    bool is_name = key == "path" || key == "linkpath" || key == "GNU.sparse.name";
    if (is_name && value.find('\0') != std::string_view::npos) return bad_header("a name holds a NUL byte");
    result.values.insert_or_assign(std::string(key), std::string(value));
  }
  return result;
}

Result<TarTime> parse_pax_time(std::string_view text) {
  auto bad = [&] { return failure(Kind::Corrupt, "invalid PAX time \"{}\"", text.substr(0, 48)); };
  bool negative = text.starts_with('-');
  std::string_view digits = negative ? text.substr(1) : text;
  size_t dot = digits.find('.');
  std::string_view whole = digits.substr(0, dot);
  TarTime time;
  auto [end, error] = std::from_chars(whole.data(), whole.data() + whole.size(), time.seconds);
  if (whole.empty() || error != std::errc{} || end != whole.data() + whole.size() || time.seconds < 0)
    return bad();
  uint32_t scale = 100'000'000;
  std::string_view fraction = dot == std::string_view::npos ? std::string_view() : digits.substr(dot + 1);
  for (char c : fraction) {
    if (c < '0' || c > '9') return bad();
    time.nanoseconds += static_cast<uint32_t>(c - '0') * scale;
    scale /= 10;
  }
  if (negative) {
    time.seconds = -time.seconds;
    if (time.nanoseconds > 0) {
      --time.seconds;
      time.nanoseconds = 1'000'000'000 - time.nanoseconds;
    }
  }
  return time;
}

}  // namespace berth::storage
