// Schedule: when something is due, in EventBridge's words: rate(5 minutes), cron(0 18 ? * MON-FRI *),
// at(2026-12-01T08:00:00). Times are UTC. Pure.
#pragma once

#include <bitset>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "base/result.h"

namespace berth::functions::events {

class Schedule {
 public:
  /// InvalidArgument: "Parameter ScheduleExpression is not valid." and why.
  static Result<Schedule> parse(std::string_view text);
  /// The first time after `after_ms`; rates count from `origin_ms` (when the schedule was made). Nothing:
  /// never again.
  std::optional<int64_t> next(int64_t after_ms, int64_t origin_ms) const;

 private:
  struct Rate {
    int64_t period_ms = 0;
  };
  struct At {
    int64_t time_ms = 0;
  };
  struct Cron {
    std::bitset<60> minutes;
    std::bitset<24> hours;
    std::bitset<13> months;  ///< 1 to 12
    std::bitset<300> years;  ///< since 1900
    // Days: of the month, or of the week; the other is '?'.
    std::bitset<32> month_days;
    bool last_month_day = false;                      ///< L
    std::optional<int> nearest_weekday;               ///< 15W
    bool last_weekday = false;                        ///< LW
    std::bitset<8> week_days;                         ///< 1 is Sunday
    std::optional<int> last_of_week_day;              ///< 6L: the last Friday
    std::optional<std::pair<int, int>> nth_week_day;  ///< 6#3: the third Friday
    bool by_week_day = false;
  };
  using When = std::variant<Rate, At, Cron>;
  explicit Schedule(When when) : when_(std::move(when)) {}
  static Result<Cron> parse_cron(std::string_view fields);
  static std::optional<int64_t> next_of(const Cron& cron, int64_t after_ms);
  When when_;
};

}  // namespace berth::functions::events
