// Fuzz target: frames of WebSocket clients, whole and in pieces. Both ways of feeding give the same frames.
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "io/websocket.h"

namespace {

using berth::io::WebSocketReader;

/// What comes out of the bytes fed `step` at a time; a refusal ends it.
std::string frames_of(std::string_view bytes, size_t step) {
  WebSocketReader reader;
  std::string seen;
  while (true) {
    auto frame = reader.next();
    if (!frame) return seen + "refused";
    if (*frame) {
      seen += std::to_string(static_cast<int>((*frame)->opcode)) + ":" + (*frame)->payload + ";";
      continue;
    }
    if (bytes.empty()) return seen;
    reader.push(bytes.substr(0, step));
    bytes.remove_prefix(std::min(bytes.size(), step));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (frames_of(bytes, size + 1) != frames_of(bytes, 3)) __builtin_trap();
  return 0;
}
