// Time formats.
#include "base/clock.h"

#include <time.h>

#include <charconv>
#include <cmath>
#include <cstdlib>

#include "base/format.h"

namespace berth {
namespace {

using std::chrono::nanoseconds;
constexpr int64_t second_ns = 1'000'000'000;

class SystemClock final : public Clock {
 public:
  Timestamp now() const override { return berth::now(); }
};

std::string format_seconds(int64_t seconds) {
  time_t value = static_cast<time_t>(seconds);
  tm parts{};
  ::gmtime_r(&value, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", parts.tm_year + 1900, parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
}

struct Split {
  int64_t seconds;
  int64_t fraction;
};

Split split(Timestamp time) {
  int64_t total = to_unix_nanoseconds(time);
  int64_t seconds = total / second_ns;
  int64_t fraction = total % second_ns;
  if (fraction < 0) {
    fraction += second_ns;
    --seconds;
  }
  return {seconds, fraction};
}

/// Reads exactly `digits` decimal digits and moves on.
bool take_number(std::string_view& text, size_t digits, int& value) {
  if (text.size() < digits) return false;
  value = 0;
  for (size_t i = 0; i < digits; ++i) {
    if (text[i] < '0' || text[i] > '9') return false;
    value = value * 10 + (text[i] - '0');
  }
  text.remove_prefix(digits);
  return true;
}

bool take_char(std::string_view& text, char c) {
  if (text.empty() || text[0] != c) return false;
  text.remove_prefix(1);
  return true;
}

bool take_fraction(std::string_view& text, int64_t& fraction) {
  int64_t scale = second_ns / 10;
  fraction = 0;
  if (text.empty() || text[0] < '0' || text[0] > '9') return false;
  while (!text.empty() && text[0] >= '0' && text[0] <= '9') {
    fraction += (text[0] - '0') * scale;
    scale /= 10;
    text.remove_prefix(1);
  }
  return true;
}

bool take_offset(std::string_view& text, int& offset_minutes) {
  offset_minutes = 0;
  if (text.empty() || take_char(text, 'Z') || take_char(text, 'z')) return true;
  int sign = text[0] == '-' ? -1 : text[0] == '+' ? 1 : 0;
  if (sign == 0) return false;
  text.remove_prefix(1);
  int hours = 0;
  int minutes = 0;
  if (!take_number(text, 2, hours)) return false;
  take_char(text, ':');
  if (!take_number(text, 2, minutes)) return false;
  offset_minutes = sign * (hours * 60 + minutes);
  return true;
}

}  // namespace

const Clock& Clock::system() {
  static const SystemClock clock;
  return clock;
}

Timestamp now() {
  timespec value{};
  ::clock_gettime(CLOCK_REALTIME, &value);
  return Timestamp(nanoseconds(static_cast<int64_t>(value.tv_sec) * second_ns + value.tv_nsec));
}

int64_t to_unix_nanoseconds(Timestamp time) {
  return time.time_since_epoch().count();
}
Timestamp from_unix_nanoseconds(int64_t value) {
  return Timestamp(nanoseconds(value));
}

std::string to_rfc3339(Timestamp time) {
  if (to_unix_nanoseconds(time) == 0) return "0001-01-01T00:00:00Z";
  auto [seconds, fraction] = split(time);
  std::string text = format_seconds(seconds);
  if (fraction != 0) {
    std::string digits = fmt::format("{:09}", fraction);
    while (digits.back() == '0') digits.pop_back();
    text += "." + digits;
  }
  return text + "Z";
}

std::string to_rfc3339_fixed(Timestamp time) {
  auto [seconds, fraction] = split(time);
  return fmt::format("{}.{:09}Z", format_seconds(seconds), fraction);
}

Result<Timestamp> parse_rfc3339(std::string_view input) {
  std::string_view text = input;
  auto bad = [&] {
    return failure(Kind::InvalidArgument, "invalid time \"{}\": expected RFC 3339", input.substr(0, 64));
  };
  tm parts{};
  int year = 0;
  int month = 0;
  if (!take_number(text, 4, year) || !take_char(text, '-') || !take_number(text, 2, month) ||
      !take_char(text, '-') || !take_number(text, 2, parts.tm_mday)) {
    return bad();
  }
  int64_t fraction = 0;
  int offset_minutes = 0;
  if (take_char(text, 'T') || take_char(text, 't') || take_char(text, ' ')) {
    if (!take_number(text, 2, parts.tm_hour) || !take_char(text, ':') || !take_number(text, 2, parts.tm_min))
      return bad();
    if (take_char(text, ':')) {
      if (!take_number(text, 2, parts.tm_sec)) return bad();
      if (take_char(text, '.') && !take_fraction(text, fraction)) return bad();
    }
    if (!take_offset(text, offset_minutes)) return bad();
  } else if (!take_offset(text, offset_minutes)) {
    return bad();
  }
  if (!text.empty() || month < 1 || month > 12 || parts.tm_mday < 1 || parts.tm_mday > 31 ||
      parts.tm_hour > 23 || parts.tm_min > 59 || parts.tm_sec > 60) {
    return bad();
  }
  if (year == 1) return Timestamp{};
  if (year < 1678 || year > 2261) return bad();  // what 64-bit nanoseconds can hold
  parts.tm_year = year - 1900;
  parts.tm_mon = month - 1;
  int64_t seconds = static_cast<int64_t>(::timegm(&parts)) - offset_minutes * 60;
  return from_unix_nanoseconds(seconds * second_ns + fraction);
}

Result<Timestamp> parse_time_reference(std::string_view text, Timestamp reference) {
  bool numeric = !text.empty() && text.find_first_not_of("0123456789.") == std::string_view::npos;
  if (numeric) {
    size_t dot = text.find('.');
    std::string_view whole = text.substr(0, dot);
    int64_t seconds = 0;
    auto [end, error] = std::from_chars(whole.data(), whole.data() + whole.size(), seconds);
    bool whole_ok = error == std::errc{} && end == whole.data() + whole.size();
    int64_t fraction = 0;
    std::string_view rest = dot == std::string_view::npos ? std::string_view{} : text.substr(dot + 1);
    if (!whole_ok || seconds > INT64_MAX / second_ns - 1 ||
        (!rest.empty() && (!take_fraction(rest, fraction) || !rest.empty()))) {
      return failure(Kind::InvalidArgument, "invalid time \"{}\": expected unix seconds", text.substr(0, 64));
    }
    return from_unix_nanoseconds(seconds * second_ns + fraction);
  }
  if (auto duration = parse_duration(text)) return reference - *duration;
  return parse_rfc3339(text);
}

Result<nanoseconds> parse_duration(std::string_view input) {
  std::string_view text = input;
  auto bad = [&] {
    return failure(Kind::InvalidArgument,
                   "invalid duration \"{}\": expected a form like 300ms, 1.5h or 2h45m", input.substr(0, 64));
  };
  bool negative = false;
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) {
    negative = text[0] == '-';
    text.remove_prefix(1);
  }
  if (text == "0") return nanoseconds(0);
  if (text.empty()) return bad();
  double total = 0;
  while (!text.empty()) {
    size_t length = text.find_first_not_of("0123456789.");
    if (length == 0 || length == std::string_view::npos) return bad();
    double value = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + length, value);
    if (error != std::errc{} || end != text.data() + length) return bad();
    text.remove_prefix(length);
    struct Unit {
      std::string_view name;
      double scale;
    };
    static constexpr Unit units[] = {{"ns", 1},  {"us", 1e3}, {"µs", 1e3},  {"ms", 1e6},
                                     {"s", 1e9}, {"m", 6e10}, {"h", 3.6e12}};
    const Unit* found = nullptr;
    for (const Unit& unit : units) {
      if (text.starts_with(unit.name) && (found == nullptr || unit.name.size() > found->name.size()))
        found = &unit;
    }
    if (found == nullptr) return bad();
    text.remove_prefix(found->name.size());
    total += value * found->scale;
  }
  if (!(total < 9.2e18)) return bad();
  int64_t count = std::llround(total);
  return nanoseconds(negative ? -count : count);
}

}  // namespace berth
