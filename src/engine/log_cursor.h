// LogCursor: reads a container's log (launch/log_format.h) back as lines, framed for the Docker API. One
// frame per line, as clients expect; lines longer than 16 KiB are cut as docker cuts them. Knows rotation and
// can be asked again for what was written since. Blocking file reads of the page cache only.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "launch/log_format.h"
#include "sys/fd.h"

namespace berth::engine {

enum class LogFraming {
  Raw,          ///< the bytes alone (containers with a terminal)
  Multiplexed,  ///< {u8 stream, 0, 0, 0, u32 big-endian length} before each line
};
enum class LogTimestamps { No, Yes };
enum class LogExtent {
  AsOfNow,  ///< what has been written when the cursor is opened, however fast the writer is
  Growing,  ///< and whatever comes after it
};

struct LogQuery {
  bool standard_output = true;
  bool standard_error = true;
  Timestamp since = {};
  std::optional<Timestamp> until = {};
  std::optional<uint64_t> tail = {};  ///< last n lines of both streams together
  LogTimestamps timestamps = LogTimestamps::No;
  LogFraming framing = LogFraming::Multiplexed;
  LogExtent extent = LogExtent::Growing;
  std::string prefix = {};  ///< before each line, behind the timestamp (--details)
};

class LogCursor {
 public:
  enum class State {
    More,      ///< the target was reached, there is more to read
    CaughtUp,  ///< everything written so far was read
    Finished,  ///< a line later than `until` was met
  };

  /// `path` is the current log file; rotated ones are path.1 (newest) to path.N. A missing log is an empty
  /// one.
  static Result<LogCursor> open(std::string path, const LogQuery& query);

  /// Appends encoded lines to `out` until it has grown by about `target` bytes. A last line without its
  /// newline is held back until the newline comes, or until flush().
  Result<State> read(std::string& out, size_t target = size_t{256} << 10);
  /// The container has ended, or nobody follows: unfinished lines are given out as they are.
  void flush(std::string& out);

 private:
  struct File {
    sys::UniqueFd fd;
    uint64_t inode = 0;
    uint64_t size = 0;  ///< when it was opened
  };
  struct Partial {
    std::string bytes;
    uint64_t time = 0;
  };

  LogCursor(std::string path, const LogQuery& query) : path_(std::move(path)), query_(query) {}
  Result<void> open_files();
  Result<void> seek_to_tail(uint64_t lines);
  Result<bool> fill();
  Result<bool> next_file();
  bool wanted(launch::LogStream stream) const;
  void take(const launch::LogRecord& record, std::string& out);
  void emit(launch::LogStream stream, uint64_t time, std::string_view line, std::string& out);

  std::string path_;
  LogQuery query_;
  std::deque<File> files_;  ///< front is being read
  uint64_t offset_ = 0;     ///< in the front file, of the first byte not yet in buffer_
  std::string buffer_;      ///< undecoded bytes
  size_t begin_ = 0;        ///< decoded part of buffer_
  uint64_t skip_lines_ = 0;
  std::array<Partial, 2> partial_;
  bool finished_ = false;
};

}  // namespace berth::engine
