// One record of a log segment: a fixed head, the stream's name, the message. Pure; what is read back came
// from a disk and may be torn or damaged.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace berth::functions {

/// A message beyond this is split; a stream's name is CloudWatch's 512 at most.
constexpr size_t kMaxLogMessage = 256u << 10;
constexpr size_t kMaxStreamName = 512;

enum class LogRecordKind : uint16_t {
  Event = 1,
  StreamMade = 2,  ///< a stream without an event so far; no message
};

struct LogRecord {
  LogRecordKind kind = LogRecordKind::Event;
  uint64_t sequence = 0;
  int64_t time_ms = 0;
  int64_t ingestion_ms = 0;
  std::string_view stream;
  std::string_view message;
};

void append_log_record(std::string& out, const LogRecord& record);

/// Takes records off the front of a segment's bytes, which must outlive the reader.
class LogRecordReader {
 public:
  explicit LogRecordReader(std::string_view bytes) : rest_(bytes) {}
  /// Nothing at the end, and before bytes that are no whole record.
  std::optional<LogRecord> next();

 private:
  std::string_view rest_;
};

}  // namespace berth::functions
