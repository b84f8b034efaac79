// Sizes, durations, times and identifiers in docker's human forms. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace berth::cli::output {

/// Powers of 1000: "1.24MB", "0B"; `digits` significant digits (docker uses 3 in tables, 4 elsewhere).
std::string human_size(double bytes, int digits = 4);
/// Powers of 1024: "23.54GiB", four significant digits.
std::string binary_size(double bytes);
/// "Less than a second", "About an hour", "3 weeks".
std::string human_duration(std::chrono::nanoseconds duration);
/// human_duration of the time since `then`, with " ago".
std::string time_ago(Timestamp then, Timestamp now);
/// As Go prints a local time: "2026-11-24 09:49:12 +0000 UTC", with the fraction when there is one.
std::string local_time(Timestamp time);
/// The same instant in UTC: "2026-11-24 09:49:12.5 +0000 UTC".
std::string utc_time(Timestamp time);
/// RFC 3339 in local time with nine digits: "2026-11-24T09:49:12.000000000+01:00".
std::string local_rfc3339(Timestamp time);
/// RFC 3339 in local time without fraction.
std::string local_rfc3339_seconds(Timestamp time);
/// As C's asctime prints: "Thu May  7 21:09:36 2026", of an RFC 3339 text; other text is returned unchanged.
std::string calendar_time(std::string_view rfc3339);

/// Drops "sha256:" and keeps twelve characters.
std::string short_id(std::string_view id);
/// At most `width` columns, an ellipsis character as the last when something was cut.
std::string ellipsis(std::string_view text, size_t width);
/// As Go's %q: double quotes, with escapes for quotes, backslashes and control characters.
std::string quoted(std::string_view text);
/// Columns that UTF-8 text takes on a terminal when every character is one wide.
size_t display_width(std::string_view utf8);
/// Replaces control characters (escape sequences in names, labels, log lines of an engine) for a terminal.
std::string printable(std::string_view text);

/// Orders texts so that numbers inside them compare as numbers: "80/tcp" before "443/tcp".
bool natural_less(std::string_view left, std::string_view right);

}  // namespace berth::cli::output
