// LogStream: a container's log read back as docker's frames or as raw bytes, in large pieces, with the
// filters of GET /containers/{id}/logs, following rotation and the writer when asked.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "engine/attach.h"
#include "io/task.h"

namespace berth::engine {

struct LogRequest {
  bool output = true;
  bool error = true;
  bool follow = false;
  bool timestamps = false;
  bool details = false;  ///< puts the container's log attributes before each line
  std::optional<Timestamp> since = {};
  std::optional<Timestamp> until = {};
  std::optional<uint64_t> tail = {};  ///< none: all
  /// Multiplexed: each line is one frame. Follows from the container's terminal unless set.
  std::optional<Framing> framing = {};
};

class LogStream {
 public:
  virtual ~LogStream() = default;
  /// The next bytes for the client, up to some 256 KiB; empty at the end. Valid until the next call. May be
  /// destroyed while it waits.
  virtual io::Task<Result<std::string_view>> next() = 0;
};

}  // namespace berth::engine
