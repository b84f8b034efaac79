// Fuzz target: what comes out of a function's sandbox besides events: registrations of extensions, telemetry
// subscriptions, error types; and log segments as a disk may give them back. The first byte picks one.
#include <cstdint>
#include <string>
#include <string_view>

#include "functions/log/record.h"
#include "functions/sandbox/extension_set.h"
#include "functions/sandbox/runtime_protocol.h"
#include "functions/sandbox/telemetry.h"

using namespace berth::functions;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 4) {
    case 0: {
      ExtensionSet set;
      auto answer = set.enroll("name", text, "{}", "id");
      if ((answer.status == 200) != (set.find("id") != nullptr)) __builtin_trap();
      break;
    }
    case 1: {
      auto subscription = parse_telemetry_subscription(text);
      if (subscription && (subscription->port == 0 || subscription->types == 0)) __builtin_trap();
      if (subscription && subscription->path.find_first_of("\r\n") != std::string::npos) __builtin_trap();
      break;
    }
    case 2: {
      std::string type = sound_error_type(text);
      if (type.find_first_of("\r\n\t ") != std::string::npos || type.size() > 300) __builtin_trap();
      break;
    }
    default: {
      LogRecordReader reader(text);
      size_t records = 0;
      while (auto record = reader.next()) {
        if (record->message.size() > kMaxLogMessage || ++records > size) __builtin_trap();
      }
    }
  }
  return 0;
}
