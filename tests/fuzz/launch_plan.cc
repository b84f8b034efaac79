// Fuzz target: the plan that the keeper reads. What open() accepts must be readable to its end.
#include <cstdint>
#include <string_view>

#include "launch/plan_codec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  auto plan = berth::launch::PlanReader::open(text);
  if (!plan) return 0;
  berth::launch::Step step;
  uint32_t steps = 0;
  while (plan->next(step)) ++steps;
  if (steps != plan->steps()) __builtin_trap();
  return 0;
}
