// Fuzz target: a container's log as a reader finds it, torn or damaged. Reading always moves on.
#include <cstdint>
#include <string_view>

#include "launch/log_format.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  berth::launch::LogReader reader(text);
  size_t before = 0;
  while (const auto record = reader.next()) {
    if (reader.consumed() <= before || reader.consumed() > size) __builtin_trap();
    before = reader.consumed();
    if (record->bytes.size() > berth::launch::kLogMaxRecord) __builtin_trap();
  }
  return 0;
}
