#include "functions/events/schedule.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <span>
#include <vector>

#include "base/clock.h"
#include "base/format.h"

namespace berth::functions::events {
namespace {

using namespace std::chrono;

constexpr int kFirstYear = 1970, kLastYear = 2199;
constexpr std::array<std::string_view, 12> kMonths{"JAN", "FEB", "MAR", "APR", "MAY", "JUN",
                                                   "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"};
constexpr std::array<std::string_view, 7> kDays{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"};

Error invalid(std::string_view why) {
  return failure(Kind::InvalidArgument, "Parameter ScheduleExpression is not valid. {}", why);
}

std::optional<int> number(std::string_view text) {
  int value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size() || value < 0)
    return std::nullopt;
  return value;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == text.npos) return parts;
    text.remove_prefix(at + 1);
  }
}

std::vector<std::string_view> words(std::string_view text) {
  std::vector<std::string_view> result;
  for (std::string_view word : split(text, ' ')) {
    if (!word.empty()) result.push_back(word);
  }
  return result;
}

bool same_word(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if ((a[i] & ~0x20) != b[i]) return false;
  }
  return true;
}

struct Field {
  std::string_view name;
  int min, max;
  std::span<const std::string_view> names = {};
};

std::optional<int> value_of(const Field& field, std::string_view text) {
  for (size_t i = 0; i < field.names.size(); ++i) {
    if (same_word(text, field.names[i])) return field.min + static_cast<int>(i);
  }
  auto value = number(text);
  if (!value || *value < field.min || *value > field.max) return std::nullopt;
  return value;
}

/// "1,5-9/2,*/15" into the set of values.
template <class Set>
Result<void> read_set(const Field& field, std::string_view text, Set& set, int offset = 0) {
  for (std::string_view part : split(text, ',')) {
    auto refuse = [&] { return invalid(fmt::format("\"{}\" is not allowed for the {}", part, field.name)); };
    int step = 1;
    std::string_view range = part;
    bool stepped = false;
    if (size_t slash = part.find('/'); slash != part.npos) {
      auto value = number(part.substr(slash + 1));
      if (!value || *value < 1) return refuse();
      step = *value;
      range = part.substr(0, slash);
      stepped = true;
    }
    int first = field.min, last = field.max;
    if (range != "*") {
      size_t dash = range.find('-');
      auto low = value_of(field, range.substr(0, dash));
      auto high = dash == range.npos ? low : value_of(field, range.substr(dash + 1));
      if (!low || !high) return refuse();
      first = *low;
      last = dash == range.npos && stepped ? field.max : *high;
    }
    if (first > last) {  // FRI-MON goes round
      for (int value = first; value <= field.max; value += step) set.set(static_cast<size_t>(value - offset));
      first = field.min;
    }
    for (int value = first; value <= last; value += step) set.set(static_cast<size_t>(value - offset));
  }
  return {};
}

int last_day_of(year_month month) {
  return static_cast<int>(static_cast<unsigned>((month / last).day()));
}

/// 1 is Sunday.
int week_day(year_month_day day) {
  return static_cast<int>(weekday(sys_days(day)).c_encoding()) + 1;
}

/// The weekday (Monday to Friday) nearest to `wanted` within the month.
int nearest_weekday_of(year_month month, int wanted) {
  int end = last_day_of(month);
  int target = std::min(wanted, end);
  int weekday_number = week_day(month / day(static_cast<unsigned>(target)));
  if (weekday_number == 7) return target > 1 ? target - 1 : target + 2;
  if (weekday_number == 1) return target < end ? target + 1 : target - 2;
  return target;
}

}  // namespace

Result<Schedule::Cron> Schedule::parse_cron(std::string_view fields) {
  auto parts = words(fields);
  if (parts.size() != 6)
    return invalid("cron(...) has six fields: minutes hours day-of-month month day-of-week year");
  Cron cron;
  CHECK(read_set({"minutes", 0, 59}, parts[0], cron.minutes));
  CHECK(read_set({"hours", 0, 23}, parts[1], cron.hours));
  CHECK(read_set({"month", 1, 12, kMonths}, parts[3], cron.months));
  CHECK(read_set({"year", kFirstYear, kLastYear}, parts[5], cron.years, 1900));
  std::string_view days = parts[2], week = parts[4];
  if ((days == "?") == (week == "?"))
    return invalid("One of day-of-month and day-of-week must be '?', and only one");
  if (week == "?") {
    if (days == "L") {
      cron.last_month_day = true;
    } else if (days == "LW") {
      cron.last_weekday = true;
    } else if (days.ends_with('W')) {
      auto day = number(days.substr(0, days.size() - 1));
      if (!day || *day < 1 || *day > 31)
        return invalid(fmt::format("\"{}\" is not a day of the month", days));
      cron.nearest_weekday = *day;
    } else {
      CHECK(read_set({"day of the month", 1, 31}, days, cron.month_days));
    }
    return cron;
  }
  cron.by_week_day = true;
  Field field{"day of the week", 1, 7, kDays};
  if (size_t hash = week.find('#'); hash != week.npos) {
    auto day = value_of(field, week.substr(0, hash));
    auto nth = number(week.substr(hash + 1));
    if (!day || !nth || *nth < 1 || *nth > 5)
      return invalid(fmt::format("\"{}\" is not a day of the week", week));
    cron.nth_week_day = {*day, *nth};
  } else if (week == "L") {
    cron.week_days.set(7);
  } else if (week.ends_with('L')) {
    auto day = value_of(field, week.substr(0, week.size() - 1));
    if (!day) return invalid(fmt::format("\"{}\" is not a day of the week", week));
    cron.last_of_week_day = *day;
  } else {
    CHECK(read_set(field, week, cron.week_days));
  }
  return cron;
}

Result<Schedule> Schedule::parse(std::string_view text) {
  auto inner = [&](std::string_view name) -> std::optional<std::string_view> {
    if (!text.starts_with(name) || text.size() < name.size() + 2 || text[name.size()] != '(' ||
        text.back() != ')')
      return std::nullopt;
    return text.substr(name.size() + 1, text.size() - name.size() - 2);
  };
  if (auto fields = inner("cron")) {
    TRY(Cron cron, parse_cron(*fields));
    return Schedule(When(std::move(cron)));
  }
  if (auto rate = inner("rate")) {
    auto parts = words(*rate);
    auto value = parts.size() == 2 ? number(parts[0]) : std::nullopt;
    if (!value || *value < 1 || *value > 1'000'000)
      return invalid("rate(...) is a positive number and a unit");
    static constexpr std::array<std::pair<std::string_view, int64_t>, 3> units{
        {{"minute", 60'000}, {"hour", 3'600'000}, {"day", 86'400'000}}};
    for (auto [unit, ms] : units) {
      bool plural =
          parts[1].size() == unit.size() + 1 && parts[1].starts_with(unit) && parts[1].back() == 's';
      bool fits = *value == 1 ? parts[1] == unit : plural;
      if (fits) return Schedule(When(Rate{*value * ms}));
    }
    return invalid("The unit is minute, hour or day, with an s for more than one");
  }
  if (auto time = inner("at")) {
    auto parsed = parse_rfc3339(*time);
    if (!parsed) return invalid("at(...) takes yyyy-mm-ddThh:mm:ss");
    return Schedule(When(At{to_unix_nanoseconds(*parsed) / 1'000'000}));
  }
  return invalid("It is rate(...), cron(...) or at(...)");
}

std::optional<int64_t> Schedule::next_of(const Cron& cron, int64_t after_ms) {
  // The first whole minute after.
  auto start = floor<minutes>(sys_time<milliseconds>(milliseconds(after_ms))) + minutes(1);
  auto first_day = floor<days>(start);
  for (auto today = first_day;; today += days(1)) {
    year_month_day date(today);
    int year_number = static_cast<int>(date.year());
    if (year_number > kLastYear) return std::nullopt;
    if (!cron.years.test(static_cast<size_t>(year_number - 1900))) {
      today = sys_days(date.year() / December / 31);
      continue;
    }
    year_month month(date.year(), date.month());
    if (!cron.months.test(static_cast<unsigned>(date.month()))) {
      today = sys_days(month / last);
      continue;
    }
    int day_number = static_cast<int>(static_cast<unsigned>(date.day()));
    bool due = false;
    if (cron.by_week_day) {
      int week = week_day(date);
      if (cron.nth_week_day) {
        due = week == cron.nth_week_day->first && (day_number - 1) / 7 + 1 == cron.nth_week_day->second;
      } else if (cron.last_of_week_day) {
        due = week == *cron.last_of_week_day && day_number + 7 > last_day_of(month);
      } else {
        due = cron.week_days.test(static_cast<size_t>(week));
      }
    } else if (cron.last_month_day) {
      due = day_number == last_day_of(month);
    } else if (cron.last_weekday) {
      due = day_number == nearest_weekday_of(month, 31);
    } else if (cron.nearest_weekday) {
      due = *cron.nearest_weekday <= last_day_of(month) &&
            day_number == nearest_weekday_of(month, *cron.nearest_weekday);
    } else {
      due = cron.month_days.test(static_cast<size_t>(day_number));
    }
    if (!due) continue;
    auto begin = today == first_day ? start : sys_time<minutes>(today);
    for (auto time = begin; time < today + days(1); time += minutes(1)) {
      auto of_day = time - today;
      auto hour = duration_cast<hours>(of_day).count();
      if (!cron.hours.test(static_cast<size_t>(hour))) {
        time = today + hours(hour + 1) - minutes(1);
        continue;
      }
      auto minute = duration_cast<minutes>(of_day).count() % 60;
      if (cron.minutes.test(static_cast<size_t>(minute)))
        return duration_cast<milliseconds>(time.time_since_epoch()).count();
    }
  }
}

std::optional<int64_t> Schedule::next(int64_t after_ms, int64_t origin_ms) const {
  if (const auto* at = std::get_if<At>(&when_)) {
    return at->time_ms > after_ms ? std::optional<int64_t>(at->time_ms) : std::nullopt;
  }
  if (const auto* rate = std::get_if<Rate>(&when_)) {
    if (after_ms < origin_ms) return origin_ms + rate->period_ms;
    int64_t periods = (after_ms - origin_ms) / rate->period_ms + 1;
    return origin_ms + periods * rate->period_ms;
  }
  return next_of(std::get<Cron>(when_), after_ms);
}

}  // namespace berth::functions::events
