// Fuzz target: heads of HTTP requests, and what follows as a chunked body.
#include <cstdint>
#include <string_view>

#include "io/http_message.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  namespace io = berth::io;
  const auto end = io::find_head_end(text);
  if (!end) return 0;
  if (*end > size) __builtin_trap();
  (void)io::parse_request_head(text.substr(0, *end));
  io::ChunkedDecoder decoder;
  for (std::string_view rest = text.substr(*end); !rest.empty();) {
    const auto step = decoder.step(rest);
    if (step.consumed > rest.size() || step.data.size() > rest.size()) __builtin_trap();
    if (step.state == io::ChunkedDecoder::State::End || step.state == io::ChunkedDecoder::State::Bad) break;
    if (step.consumed == 0 && step.state != io::ChunkedDecoder::State::NeedMore) __builtin_trap();
    if (step.consumed == 0) break;
    rest.remove_prefix(step.consumed);
  }
  return 0;
}
