// Log groups and streams of functions: written line by line by sandboxes, read by CloudWatch Logs' calls and
// `berth function logs`. Files below data-root/functions/logs, bounded and rotated like containers' logs.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "functions/model.h"
#include "io/event_loop.h"
#include "io/task.h"

namespace berth::functions {

struct LogEvent {
  uint64_t sequence = 0;  ///< rises within a group; makes up event ids and paging tokens
  int64_t time_ms = 0;    ///< since the epoch
  int64_t ingestion_ms = 0;
  std::string stream;
  std::string message;
};

struct LogGroupInfo {
  std::string name;
  int64_t created_ms = 0;
  uint64_t stored_bytes = 0;
  std::optional<uint32_t> retention_days = {};
};
struct LogStreamInfo {
  std::string name;
  int64_t created_ms = 0, first_ms = 0, last_ms = 0, last_ingestion_ms = 0;
  uint64_t stored_bytes = 0;
};

struct LogQuery {
  std::string group;
  std::vector<std::string> streams = {};  ///< empty: all
  std::string stream_prefix = {};
  std::optional<int64_t> from_ms = {}, until_ms = {};  ///< [from, until)
  uint64_t after_sequence = 0;                         ///< paging
  uint32_t limit = 10'000;                             ///< events at most; and 1 MiB of messages
};

class FunctionLog {
 public:
  virtual ~FunctionLog() = default;

  /// One event; longer than 256 KiB: split. Loop thread; buffered, must not block. Makes group and stream.
  virtual void append(const Realm& realm, const std::string& group, const std::string& stream,
                      int64_t time_ms, std::string_view message) = 0;
  /// Hands what append() has taken to the kernel: it survives this process from here on.
  virtual void flush() = 0;

  /// NotFound "The specified log group does not exist.".
  virtual io::Task<Result<std::vector<LogEvent>>> read(Realm realm, LogQuery query) = 0;
  virtual Result<std::vector<LogGroupInfo>> groups(const Realm& realm, std::string_view prefix) const = 0;
  virtual Result<std::vector<LogStreamInfo>> streams(const Realm& realm, const std::string& group,
                                                     std::string_view prefix) const = 0;
  virtual Result<void> create_group(const Realm& realm, const std::string& group) = 0;
  virtual Result<void> create_stream(const Realm& realm, const std::string& group,
                                     const std::string& stream) = 0;
  /// Its events are not shown any more. NotFound "The specified log stream does not exist.".
  virtual Result<void> remove_stream(const Realm& realm, const std::string& group,
                                     const std::string& stream) = 0;
  virtual Result<void> remove_group(const Realm& realm, const std::string& group) = 0;
  virtual Result<void> set_retention(const Realm& realm, const std::string& group,
                                     std::optional<uint32_t> days) = 0;
  /// Returns when something has been appended to the group after `sequence` (for --follow), or the group is
  /// gone: the sequence of its newest event, to wait beyond when that one was not of interest.
  virtual io::Task<uint64_t> wait_for_more(Realm realm, std::string group, uint64_t sequence) = 0;
};

}  // namespace berth::functions
