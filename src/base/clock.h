// Time as berth stores and shows it: nanoseconds since the epoch, RFC 3339 outside.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace berth {

/// Wall-clock time. The zero value means "never" and prints as docker's zero, 0001-01-01T00:00:00Z.
using Timestamp = std::chrono::sys_time<std::chrono::nanoseconds>;

/// The clock seam: production reads the kernel, tests advance by hand.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual Timestamp now() const = 0;
  static const Clock& system();
};

Timestamp now();
int64_t to_unix_nanoseconds(Timestamp time);
Timestamp from_unix_nanoseconds(int64_t nanoseconds);
/// "2026-11-24T09:30:00.123456789Z"; trailing zeros of the fraction are dropped as Go's RFC3339Nano does.
std::string to_rfc3339(Timestamp time);
/// The same with nine digits always, as `logs --timestamps` prints them.
std::string to_rfc3339_fixed(Timestamp time);
/// Accepts RFC 3339 with offset, and the shorter local forms docker accepts (date, date-time without zone:
/// UTC).
Result<Timestamp> parse_rfc3339(std::string_view text);
/// What --since/--until and filters take: RFC 3339, unix seconds with optional fraction, or a Go duration
/// before `now` ("10m", "1h30m").
Result<Timestamp> parse_time_reference(std::string_view text, Timestamp now);
/// Go's time.ParseDuration: "300ms", "1.5h", "2h45m".
Result<std::chrono::nanoseconds> parse_duration(std::string_view text);

}  // namespace berth
