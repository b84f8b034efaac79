// --since and --until.
#include "apps/berth/options/moment.h"

#include <time.h>

#include "base/format.h"

namespace berth::cli::options {
namespace {

/// A date, or a date and time, that says nothing about its zone.
bool lacks_zone(std::string_view text) {
  if (text.size() < 10 || text[4] != '-' || text[7] != '-') return false;
  if (text.ends_with('Z') || text.ends_with('z')) return false;
  size_t time = text.find_first_of("Tt ");
  if (time == std::string_view::npos) return text.size() == 10;
  return text.find_first_of("+-", time) == std::string_view::npos;
}

}  // namespace

Result<std::string> api_time(std::string_view text, Timestamp now) {
  if (text.empty()) return std::string();
  std::string whole(text);
  // "2026-01-02T15" and "2026-01-02T15:04" are taken, too.
  if (lacks_zone(text) && text.size() == 13) whole += ":00";
  auto time = parse_time_reference(whole, now);
  if (!time) return failure(Kind::InvalidArgument, "failed to parse value as time or duration: \"{}\"", text);
  int64_t nanoseconds = to_unix_nanoseconds(*time);
  if (lacks_zone(text)) {
    auto seconds = static_cast<time_t>(nanoseconds / 1'000'000'000);
    tm local{};
    ::localtime_r(&seconds, &local);
    nanoseconds -= static_cast<int64_t>(local.tm_gmtoff) * 1'000'000'000;
  }
  int64_t seconds = nanoseconds / 1'000'000'000;
  int64_t fraction = nanoseconds % 1'000'000'000;
  if (fraction < 0) {
    fraction += 1'000'000'000;
    --seconds;
  }
  return fmt::format("{}.{:09}", seconds, fraction);
}

}  // namespace berth::cli::options
