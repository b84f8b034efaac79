// Fuzz target: manifests, indexes, configurations, docker archives' manifests and build caches. What parses
// must parse again once it is serialised.
#include <cstdint>
#include <string_view>

#include "base/sha256.h"
#include "spec/build_cache.h"
#include "spec/image.h"

namespace {

/// A cache whose layers are the empty blob's: every chain ends, and comes back.
void check_build_cache(std::string_view text) {
  namespace spec = berth::spec;
  const std::vector<spec::Descriptor> blobs = {
      {.media_type = std::string(spec::media_type::oci_layer), .digest = berth::sha256("")}};
  const auto cache = spec::parse_build_cache(text, blobs, {.max_layers = 64, .max_records = 64});
  if (!cache) return;
  for (const auto& record : cache->records) {
    if (record.layer && cache->chain(*record.layer).size() > cache->layers.size()) __builtin_trap();
  }
  if (!spec::parse_build_cache(spec::serialise(*cache), blobs)) __builtin_trap();
}

}  // namespace

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
  check_build_cache(text);
  return 0;
}
