// Fuzz target: what says when and for which events functions are called: schedules, event patterns, partial
// failures.
#include <cstdint>
#include <string_view>

#include "base/json.h"
#include "functions/events/event_pattern.h"
#include "functions/events/event_sources.h"
#include "functions/events/schedule.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace berth;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (auto schedule = functions::events::Schedule::parse(text)) (void)schedule->next(1'700'000'000'000, 0);
  (void)functions::events::read_batch_response(text);
  // A pattern in the first line, an event in the rest.
  const size_t line = text.find('\n');
  if (line == text.npos) return 0;
  auto pattern = functions::events::EventPattern::parse(text.substr(0, line));
  auto event = parse_json(text.substr(line + 1));
  if (pattern && event) (void)pattern->matches(*event);
  return 0;
}
