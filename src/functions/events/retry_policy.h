// What comes next for an asynchronous event after an attempt: another one (when), or its end (how). AWS's
// rules: function errors are tried again twice, after one and two minutes; throttles and errors of the
// service are tried again with growing delays until the event is too old. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace berth::functions::events {

/// Of the function and its event-invoke configuration.
struct EventInvokeSettings {
  uint32_t maximum_retries = 2;
  int64_t maximum_age_ms = 21'600'000;
  std::string on_success = {}, on_failure = {};  ///< ARNs; empty: none
  std::string dead_letter_arn = {};              ///< empty: none
  bool switched_off = false;                     ///< reserved concurrency is zero
};

struct RetryDelays {
  std::array<int64_t, 2> after_error_ms{60'000, 120'000};
  int64_t first_backoff_ms = 1'000;  ///< after a throttle; doubles
  int64_t longest_backoff_ms = 300'000;
};

/// Where an event stands before its current attempt.
struct EventProgress {
  int64_t accepted_ms = 0;
  uint32_t errors = 0;     ///< attempts that ended in a function error
  uint32_t throttles = 0;  ///< attempts in a row that were turned away
};

enum class Attempt { Success, FunctionError, TurnedAway };

enum class Ending { Success, RetriesExhausted, EventAgeExceeded, ZeroReservedConcurrency };
/// As destinations' documents have it: "RetriesExhausted".
std::string_view to_string(Ending ending);

struct Decision {
  bool again = false;
  int64_t due_ms = 0;      ///< of the next attempt
  EventProgress progress;  ///< what to keep with it
  Ending ending = Ending::Success;
};

/// Whether the event is too old to be tried at all.
bool too_old(const EventProgress& progress, const EventInvokeSettings& settings, int64_t now_ms);

Decision decide(Attempt attempt, EventProgress progress, const EventInvokeSettings& settings,
                const RetryDelays& delays, int64_t now_ms);

}  // namespace berth::functions::events
