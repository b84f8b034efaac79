// Fuzz target: Dockerfiles, and expansion of the same bytes as one word.
#include <cstdint>
#include <string_view>

#include "spec/dockerfile.h"
#include "spec/shell_words.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)berth::spec::parse_dockerfile(text);
  (void)berth::spec::parse_instruction(text);
  return 0;
}
