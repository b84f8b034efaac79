// When schedules are due.
#include "functions/events/schedule.h"

#include <gtest/gtest.h>

#include "base/clock.h"

namespace berth::functions::events {
namespace {

int64_t ms(const char* text) {
  return to_unix_nanoseconds(*parse_rfc3339(text)) / 1'000'000;
}
std::string text(std::optional<int64_t> time) {
  return time ? to_rfc3339(from_unix_nanoseconds(*time * 1'000'000)) : "never";
}

struct Case {
  const char* expression;
  const char* after;
  const char* next;
};

class Schedules : public testing::TestWithParam<Case> {};

TEST_P(Schedules, Next) {
  auto schedule = Schedule::parse(GetParam().expression);
  ASSERT_TRUE(schedule) << schedule.error().message();
  EXPECT_EQ(text(schedule->next(ms(GetParam().after), ms("2026-01-01T00:00:30Z"))), GetParam().next)
      << GetParam().expression << " after " << GetParam().after;
}

// 2026-11-28 is a Saturday.
INSTANTIATE_TEST_SUITE_P(
    All, Schedules,
    testing::Values(Case{"rate(1 minute)", "2026-01-01T00:00:30Z", "2026-01-01T00:01:30Z"},
                    Case{"rate(5 minutes)", "2026-01-01T00:07:00Z", "2026-01-01T00:10:30Z"},
                    Case{"rate(2 days)", "2026-01-01T00:07:00Z", "2026-01-03T00:00:30Z"},
                    Case{"cron(0 10 * * ? *)", "2026-11-28T10:00:00Z", "2026-11-29T10:00:00Z"},
                    Case{"cron(15 12 * * ? *)", "2026-11-28T12:14:59Z", "2026-11-28T12:15:00Z"},
                    Case{"cron(0 18 ? * MON-FRI *)", "2026-11-28T10:00:00Z", "2026-11-30T18:00:00Z"},
                    Case{"cron(0 8 1 * ? *)", "2026-11-28T10:00:00Z", "2026-12-01T08:00:00Z"},
                    Case{"cron(0/15 * * * ? *)", "2026-11-28T10:16:00Z", "2026-11-28T10:30:00Z"},
                    Case{"cron(0/10 * ? * MON-FRI *)", "2026-11-28T10:16:00Z", "2026-11-30T00:00:00Z"},
                    Case{"cron(0/5 8-17 ? * MON-FRI *)", "2026-11-30T17:56:00Z", "2026-12-01T08:00:00Z"},
                    Case{"cron(0 9 ? * 2#1 *)", "2026-11-28T10:00:00Z", "2026-12-07T09:00:00Z"},
                    Case{"cron(0 9 ? * 6L *)", "2026-11-28T10:00:00Z", "2026-12-25T09:00:00Z"},
                    Case{"cron(0 9 L * ? *)", "2027-02-01T00:00:00Z", "2027-02-28T09:00:00Z"},
                    Case{"cron(0 9 L 2 ? *)", "2027-03-01T00:00:00Z", "2028-02-29T09:00:00Z"},
                    Case{"cron(0 9 LW * ? *)", "2026-10-01T00:00:00Z", "2026-10-30T09:00:00Z"},
                    Case{"cron(0 9 15W * ? *)", "2026-08-01T00:00:00Z", "2026-08-14T09:00:00Z"},
                    Case{"cron(0 9 1W * ? *)", "2026-08-01T00:00:00Z", "2026-08-03T09:00:00Z"},
                    Case{"cron(0 0 1 jan ? 2030)", "2026-11-28T10:00:00Z", "2030-01-01T00:00:00Z"},
                    Case{"cron(0 0 ? * FRI-SUN *)", "2026-11-28T10:00:00Z", "2026-11-29T00:00:00Z"},
                    Case{"cron(0 0 1 1 ? 2025)", "2026-11-28T10:00:00Z", "never"},
                    Case{"cron(0 0 31 2 ? *)", "2026-11-28T10:00:00Z", "never"},
                    Case{"at(2026-12-01T08:00:00)", "2026-11-28T10:00:00Z", "2026-12-01T08:00:00Z"},
                    Case{"at(2026-12-01T08:00:00)", "2026-12-01T08:00:00Z", "never"}));

TEST(Schedule, RefusesWhatIsNone) {
  for (const char* bad :
       {"", "rate()", "rate(5)", "rate(0 minutes)", "rate(1 minutes)", "rate(2 minute)", "rate(-1 minutes)",
        "cron(0 10 * * * *)", "cron(0 10 ? * ? *)", "cron(60 10 * * ? *)", "cron(0 10 * * ?)",
        "cron(0 10 32 * ? *)", "cron(0 10 * 13 ? *)", "cron(a b c d e f)", "cron(0 0/0 * * ? *)",
        "cron(0 9 ? * 2#6 *)", "at(tomorrow)", "every day"}) {
    EXPECT_FALSE(Schedule::parse(bad)) << bad;
  }
}

}  // namespace
}  // namespace berth::functions::events
