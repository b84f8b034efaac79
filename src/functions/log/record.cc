// The layout of log records.
#include "functions/log/record.h"

#include <cstring>

namespace berth::functions {
namespace {

constexpr uint32_t kMagic = 0x4c465242;  // "BRFL"

struct Head {
  uint32_t magic;
  uint32_t message_size;
  uint64_t sequence;
  int64_t time_ms;
  int64_t ingestion_ms;
  uint16_t stream_size;
  uint16_t kind;
  uint32_t reserved;
};
static_assert(sizeof(Head) == 40);

}  // namespace

void append_log_record(std::string& out, const LogRecord& record) {
  std::string_view stream = record.stream.substr(0, kMaxStreamName);
  std::string_view message = record.message.substr(0, kMaxLogMessage);
  Head head{.magic = kMagic,
            .message_size = static_cast<uint32_t>(message.size()),
            .sequence = record.sequence,
            .time_ms = record.time_ms,
            .ingestion_ms = record.ingestion_ms,
            .stream_size = static_cast<uint16_t>(stream.size()),
            .kind = static_cast<uint16_t>(record.kind),
            .reserved = 0};
  out.append(reinterpret_cast<const char*>(&head), sizeof head);
  out.append(stream).append(message);
}

std::optional<LogRecord> LogRecordReader::next() {
  Head head;
  if (rest_.size() < sizeof head) return std::nullopt;
  std::memcpy(&head, rest_.data(), sizeof head);
  bool sound = head.magic == kMagic && head.message_size <= kMaxLogMessage &&
               head.stream_size <= kMaxStreamName &&
               (head.kind == static_cast<uint16_t>(LogRecordKind::Event) ||
                head.kind == static_cast<uint16_t>(LogRecordKind::StreamMade));
  size_t size = sizeof head + head.stream_size + head.message_size;
  if (!sound || rest_.size() < size) return std::nullopt;
  LogRecord record{.kind = static_cast<LogRecordKind>(head.kind),
                   .sequence = head.sequence,
                   .time_ms = head.time_ms,
                   .ingestion_ms = head.ingestion_ms,
                   .stream = rest_.substr(sizeof head, head.stream_size),
                   .message = rest_.substr(sizeof head + head.stream_size, head.message_size)};
  rest_.remove_prefix(size);
  return record;
}

}  // namespace berth::functions
