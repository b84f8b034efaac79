// Human forms of sizes and times.
#include "apps/berth/output/units.h"

#include <time.h>

#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "base/format.h"

namespace berth::cli::output {
namespace {

using std::chrono::duration_cast;
using std::chrono::nanoseconds;

std::string scaled(double value, double base, const std::array<const char*, 9>& units, int digits) {
  size_t unit = 0;
  while (value >= base && unit + 1 < units.size()) {
    value /= base;
    ++unit;
  }
  char text[64];
  std::snprintf(text, sizeof text, "%.*g%s", digits, value, units[unit]);
  return text;
}

struct LocalTime {
  tm parts{};
  int64_t fraction = 0;
};

LocalTime break_down(Timestamp time, bool utc) {
  int64_t total = to_unix_nanoseconds(time);
  int64_t seconds = total / 1'000'000'000;
  int64_t fraction = total % 1'000'000'000;
  if (fraction < 0) {
    fraction += 1'000'000'000;
    --seconds;
  }
  LocalTime local;
  auto value = static_cast<time_t>(seconds);
  if (utc) {
    ::gmtime_r(&value, &local.parts);
  } else {
    ::localtime_r(&value, &local.parts);
  }
  local.fraction = fraction;
  return local;
}

std::string date_and_time(const tm& parts, char separator) {
  return fmt::format("{:04}-{:02}-{:02}{}{:02}:{:02}:{:02}", parts.tm_year + 1900, parts.tm_mon + 1,
                     parts.tm_mday, separator, parts.tm_hour, parts.tm_min, parts.tm_sec);
}

std::string offset(const tm& parts, bool colon) {
  long minutes = std::labs(parts.tm_gmtoff) / 60;
  return fmt::format("{}{:02}{}{:02}", parts.tm_gmtoff < 0 ? '-' : '+', minutes / 60, colon ? ":" : "",
                     minutes % 60);
}

std::string rfc3339_offset(const tm& parts) {
  return parts.tm_gmtoff == 0 ? "Z" : offset(parts, true);
}

std::string go_time(Timestamp time, bool utc) {
  LocalTime local = break_down(time, utc);
  std::string text = date_and_time(local.parts, ' ');
  if (local.fraction != 0) {
    std::string digits = fmt::format(".{:09}", local.fraction);
    digits.erase(digits.find_last_not_of('0') + 1);
    text += digits;
  }
  return fmt::format("{} {} {}", text, offset(local.parts, false), utc ? "UTC" : local.parts.tm_zone);
}

/// Bytes of the UTF-8 sequence at text[at], at least 1 whatever the bytes are.
size_t sequence_length(std::string_view text, size_t at) {
  auto lead = static_cast<unsigned char>(text[at]);
  size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
  return std::min(length, text.size() - at);
}

}  // namespace

std::string human_size(double bytes, int digits) {
  return scaled(bytes, 1000.0, {"B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"}, digits);
}

std::string binary_size(double bytes) {
  return scaled(bytes, 1024.0, {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"}, 4);
}

std::string human_duration(nanoseconds duration) {
  int64_t seconds = duration.count() / 1'000'000'000;
  if (seconds < 1) return "Less than a second";
  if (seconds == 1) return "1 second";
  if (seconds < 60) return fmt::format("{} seconds", seconds);
  int64_t minutes = seconds / 60;
  if (minutes == 1) return "About a minute";
  if (minutes < 60) return fmt::format("{} minutes", minutes);
  auto hours = static_cast<int64_t>(static_cast<double>(duration.count()) / 3.6e12 + 0.5);
  if (hours == 1) return "About an hour";
  if (hours < 48) return fmt::format("{} hours", hours);
  if (hours < 24 * 7 * 2) return fmt::format("{} days", hours / 24);
  if (hours < 24 * 30 * 2) return fmt::format("{} weeks", hours / 24 / 7);
  if (hours < 24 * 365 * 2) return fmt::format("{} months", hours / 24 / 30);
  return fmt::format("{} years", duration.count() / 1'000'000'000 / 3600 / 24 / 365);
}

std::string time_ago(Timestamp then, Timestamp now) {
  return human_duration(now - then) + " ago";
}

std::string local_time(Timestamp time) {
  return go_time(time, false);
}
std::string utc_time(Timestamp time) {
  return go_time(time, true);
}

std::string local_rfc3339(Timestamp time) {
  LocalTime local = break_down(time, false);
  return fmt::format("{}.{:09}{}", date_and_time(local.parts, 'T'), local.fraction,
                     rfc3339_offset(local.parts));
}

std::string local_rfc3339_seconds(Timestamp time) {
  LocalTime local = break_down(time, false);
  return date_and_time(local.parts, 'T') + rfc3339_offset(local.parts);
}

std::string calendar_time(std::string_view rfc3339) {
  auto time = parse_rfc3339(rfc3339);
  if (!time) return std::string(rfc3339);
  LocalTime utc = break_down(*time, true);
  char text[64];
  std::strftime(text, sizeof text, "%a %b %e %H:%M:%S %Y", &utc.parts);
  return text;
}

std::string short_id(std::string_view id) {
  if (size_t colon = id.find(':'); colon != std::string_view::npos) id.remove_prefix(colon + 1);
  return std::string(id.substr(0, 12));
}

size_t display_width(std::string_view utf8) {
  size_t width = 0;
  for (size_t at = 0; at < utf8.size(); at += sequence_length(utf8, at)) ++width;
  return width;
}

std::string ellipsis(std::string_view text, size_t width) {
  if (display_width(text) <= width) return std::string(text);
  if (width == 0) return {};
  size_t at = 0;
  for (size_t column = 0; column + 1 < width; ++column) at += sequence_length(text, at);
  return std::string(text.substr(0, at)) + "…";
}

std::string quoted(std::string_view text) {
  std::string result = "\"";
  for (char c : text) {
    switch (c) {
      case '"':
        result += "\\\"";
        break;
      case '\\':
        result += "\\\\";
        break;
      case '\n':
        result += "\\n";
        break;
      case '\r':
        result += "\\r";
        break;
      case '\t':
        result += "\\t";
        break;
      case '\a':
        result += "\\a";
        break;
      case '\b':
        result += "\\b";
        break;
      case '\f':
        result += "\\f";
        break;
      case '\v':
        result += "\\v";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
          result += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
        } else {
          result += c;
        }
    }
  }
  return result + "\"";
}

std::string printable(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (char c : text) {
    auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\t' && c != '\n') || byte == 0x7F) {
      result += fmt::format("\\x{:02x}", byte);
    } else {
      result += c;
    }
  }
  return result;
}

bool natural_less(std::string_view left, std::string_view right) {
  auto digit = [](char c) { return c >= '0' && c <= '9'; };
  while (!left.empty() && !right.empty()) {
    if (digit(left[0]) && digit(right[0])) {
      uint64_t a = 0;
      uint64_t b = 0;
      auto left_end = std::from_chars(left.data(), left.data() + left.size(), a).ptr;
      auto right_end = std::from_chars(right.data(), right.data() + right.size(), b).ptr;
      if (a != b) return a < b;
      left.remove_prefix(static_cast<size_t>(left_end - left.data()));
      right.remove_prefix(static_cast<size_t>(right_end - right.data()));
      continue;
    }
    if (left[0] != right[0]) return left[0] < right[0];
    left.remove_prefix(1);
    right.remove_prefix(1);
  }
  return left.size() < right.size();
}

}  // namespace berth::cli::output
