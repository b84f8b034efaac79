// Failpoints.
#include "launch/failpoint.h"

#include <charconv>
#include <cstdlib>
#include <string>

#include "base/format.h"
#include "sys/file.h"

namespace berth::launch {
namespace {

/// Read anew each time: a test changes it while the daemon runs.
std::string chosen() {
  static const char* const path = std::getenv("BERTH_FAILPOINT_FILE");
  if (path == nullptr) return {};
  constexpr size_t kLongest = 256;
  auto text = sys::read_file(path, kLongest);
  if (!text) return {};
  while (!text->empty() && text->back() == '\n') text->pop_back();
  return *std::move(text);
}

}  // namespace

Result<void> failpoint(std::string_view name) {
  if (chosen() != name) return {};
  return failure(Kind::Internal, "failpoint {}", name);
}

uint16_t failing_step() {
  constexpr std::string_view kPrefix = "step:";
  std::string name = chosen();
  uint16_t number = 0;
  if (name.starts_with(kPrefix))
    std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), number);
  return number;
}

}  // namespace berth::launch
