// The exit record: how a container ended, left on disk by the keeper (temporary file, then rename) so that
// the next berthd knows it even when both berthd and the keeper are gone.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"

namespace berth::launch {

struct ExitRecord {
  int exit_code = 0;        ///< as docker reports it: 128 + n after signal n
  int signal = 0;           ///< 0: exited by itself
  bool oom_killed = false;  ///< the kernel killed something in its memory group while it ran
  Timestamp started;
  Timestamp finished;
};

/// Corrupt when the bytes are not an exit record.
Result<ExitRecord> parse_exit_record(std::string_view bytes);
/// NotFound when there is none (the container runs, or its keeper was killed).
Result<ExitRecord> read_exit_record(const std::string& path);

}  // namespace berth::launch
