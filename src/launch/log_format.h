// The container log: records of {header, bytes}, one per read() of the container's output, appended by the
// keeper. A record is not a line: lines may span records, and a record may hold many. Pure; no system calls.
//
//   | u64 unix ns | u32 length | u8 stream | u8 flags | u16 magic | length bytes |      (little endian)
//
// Rotation: the current file is renamed to path.1 (path.1 to path.2, ...) and a new one begun, so a follower
// sees another inode at path. A rotation falls between lines unless a line is longer than 64 KiB.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

namespace berth::launch {

enum class LogStream : uint8_t { Stdout = 1, Stderr = 2 };

constexpr uint16_t kLogMagic = 0xb17e;
constexpr uint32_t kLogMaxRecord = 256u << 10;  ///< bytes of payload a record may have

struct LogHeader {
  uint64_t time = 0;    ///< unix nanoseconds, when the bytes were read
  uint32_t length = 0;  ///< bytes that follow
  uint8_t stream = 0;   ///< LogStream
  uint8_t flags = 0;    ///< none defined yet; readers ignore unknown ones
  uint16_t magic = kLogMagic;
};
static_assert(sizeof(LogHeader) == 16);

struct LogRecord {
  uint64_t time = 0;  ///< unix nanoseconds
  LogStream stream = LogStream::Stdout;
  std::string_view bytes;  ///< into the buffer given to the reader
};

/// Walks records in a buffer that starts at a record boundary.
class LogReader {
 public:
  explicit LogReader(std::string_view buffer) : buffer_(buffer) {}

  enum class End {
    None,     ///< next() gave a record
    Partial,  ///< the rest is the beginning of a record: read more (or a tail torn by a crash)
    Corrupt,  ///< the rest is no record at all
  };

  /// The next record, or nothing: end() says why and consumed() where.
  std::optional<LogRecord> next() {
    std::string_view rest = buffer_.substr(offset_);
    if (rest.size() < sizeof(LogHeader)) return stop(End::Partial);
    LogHeader header;
    std::memcpy(&header, rest.data(), sizeof header);
    if (header.magic != kLogMagic || header.length > kLogMaxRecord || header.stream < 1 || header.stream > 2)
      return stop(End::Corrupt);
    if (rest.size() - sizeof header < header.length) return stop(End::Partial);
    offset_ += sizeof header + header.length;
    return LogRecord{header.time, static_cast<LogStream>(header.stream),
                     rest.substr(sizeof header, header.length)};
  }

  End end() const { return end_; }
  /// Bytes of whole records so far: where the next read of the file continues.
  size_t consumed() const { return offset_; }

 private:
  std::optional<LogRecord> stop(End end) {
    end_ = end;
    return std::nullopt;
  }

  std::string_view buffer_;
  size_t offset_ = 0;
  End end_ = End::None;
};

}  // namespace berth::launch
