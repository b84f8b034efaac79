// Fuzz target: manifests, indexes, configurations and docker archives' manifests. What parses must parse
// again once it is serialised.
#include <cstdint>
#include <string_view>

#include "spec/image.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  namespace spec = berth::spec;
  if (const auto manifest = spec::parse_manifest(text)) {
    if (!spec::parse_manifest(spec::serialise(*manifest))) __builtin_trap();
  }
  if (const auto index = spec::parse_index(text)) {
    if (!spec::parse_index(spec::serialise(*index))) __builtin_trap();
  }
  if (const auto config = spec::parse_image_config(text)) {
    if (!spec::parse_image_config(spec::serialise(*config))) __builtin_trap();
  }
  (void)spec::parse_archive_manifest(text);
  return 0;
}
