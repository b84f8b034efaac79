#include "base/duration_text.h"

#include "base/format.h"

namespace berth {
namespace {

/// `value` / `unit` without trailing zeros: 1.5 of 1500 / 1000.
std::string fraction(uint64_t value, uint64_t unit) {
  std::string out = fmt::format("{}", value / unit);
  uint64_t rest = value % unit;
  if (rest == 0) return out;
  out.push_back('.');
  for (uint64_t place = unit / 10; rest != 0; place /= 10) {
    out.push_back(static_cast<char>('0' + rest / place));
    rest %= place;
  }
  return out;
}

}  // namespace

std::string go_duration(int64_t nanoseconds) {
  if (nanoseconds == 0) return "0s";
  const std::string sign = nanoseconds < 0 ? "-" : "";
  const uint64_t value =
      nanoseconds < 0 ? 0 - static_cast<uint64_t>(nanoseconds) : static_cast<uint64_t>(nanoseconds);
  constexpr uint64_t second = 1'000'000'000;
  if (value < 1000) return sign + fmt::format("{}ns", value);
  if (value < 1'000'000) return sign + fraction(value, 1000) + "µs";
  if (value < second) return sign + fraction(value, 1'000'000) + "ms";
  const uint64_t minutes = value / second / 60;
  std::string out = sign;
  if (minutes >= 60) out += fmt::format("{}h", minutes / 60);
  if (minutes > 0) out += fmt::format("{}m", minutes % 60);
  return out + fraction(value - minutes * 60 * second, second) + "s";
}

}  // namespace berth
