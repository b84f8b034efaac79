// What functions return to their URLs, and streamed preludes: JSON that a sandbox chose.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "api/lambda/url_event.h"
#include "api/s3/chunked_body.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  auto response = berth::api::lambda::url_response(text);
  if (response.status < 100 || response.status > 599) __builtin_trap();
  auto prelude = berth::api::lambda::url_prelude(text);
  if (prelude && (prelude->status < 100 || prelude->status > 599)) __builtin_trap();
  berth::api::s3::ChunkedBody chunks;
  std::string out;
  [[maybe_unused]] auto fed = chunks.feed(text, out);
  if (out.size() > size) __builtin_trap();
  return 0;
}
