// Fuzz target: .dockerignore files, and their first line as a pattern against the rest as a path.
#include <cstdint>
#include <string_view>

#include "spec/dockerignore.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)berth::spec::parse_ignore_file(text);
  const size_t line = text.find('\n');
  if (line != std::string_view::npos)
    (void)berth::spec::match_path(text.substr(0, line), text.substr(line + 1));
  return 0;
}
