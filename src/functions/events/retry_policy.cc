#include "functions/events/retry_policy.h"

#include <algorithm>

namespace berth::functions::events {

std::string_view to_string(Ending ending) {
  switch (ending) {
    case Ending::Success:
      return "Success";
    case Ending::RetriesExhausted:
      return "RetriesExhausted";
    case Ending::EventAgeExceeded:
      return "EventAgeExceeded";
    case Ending::ZeroReservedConcurrency:
      return "ZeroReservedConcurrency";
  }
  return "";
}

bool too_old(const EventProgress& progress, const EventInvokeSettings& settings, int64_t now_ms) {
  return now_ms - progress.accepted_ms > settings.maximum_age_ms;
}

Decision decide(Attempt attempt, EventProgress progress, const EventInvokeSettings& settings,
                const RetryDelays& delays, int64_t now_ms) {
  Decision decision{.progress = progress};
  if (attempt == Attempt::Success) return decision;

  int64_t delay = 0;
  if (attempt == Attempt::FunctionError) {
    decision.progress.throttles = 0;
    ++decision.progress.errors;
    if (decision.progress.errors > settings.maximum_retries) {
      decision.ending = Ending::RetriesExhausted;
      return decision;
    }
    delay = delays.after_error_ms[std::min<size_t>(progress.errors, delays.after_error_ms.size() - 1)];
  } else {
    if (settings.switched_off) {
      decision.ending = Ending::ZeroReservedConcurrency;
      return decision;
    }
    ++decision.progress.throttles;
    uint32_t doublings = std::min<uint32_t>(progress.throttles, 20);
    delay = std::min(delays.first_backoff_ms << doublings, delays.longest_backoff_ms);
  }
  decision.due_ms = now_ms + std::max<int64_t>(delay, 1);
  // An attempt that would come too late is not waited for.
  if (too_old(progress, settings, decision.due_ms)) {
    decision.ending = Ending::EventAgeExceeded;
    return decision;
  }
  decision.again = true;
  return decision;
}

}  // namespace berth::functions::events
