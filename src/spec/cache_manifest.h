// Where a build cache lies: the manifest (or index) of one that is kept by itself, and the records that an
// image carries in its configuration (inline). Both come from outside, and so are hostile.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "spec/build_cache.h"
#include "spec/image.h"

namespace berth::spec {

/// The member of an image's configuration that BuildKit keeps a cache's records in, as base64 of a list.
inline constexpr const char* inline_cache_member = "moby.buildkit.cache.v0";

/// A cache's manifest: its configuration and the layers that this may name.
struct CacheManifest {
  Descriptor config;  ///< of the cache's own type or an image's, whose cache is inline
  std::vector<Descriptor> blobs;
};
/// A manifest, or an index that lists a configuration of a cache among its members. InvalidArgument says of
/// `name` that it is no build cache.
Result<CacheManifest> parse_cache_manifest(std::string_view bytes, std::string_view name);

/// The configuration with the records of `cache`, whose layers are those of the image, in its order.
Result<std::string> with_inline_cache(std::string_view config, const BuildCache& cache);
/// The cache that an image's configuration carries, with the layers that its manifest has for it; none: it
/// carries none.
Result<std::optional<BuildCache>> parse_inline_cache(std::string_view config,
                                                     const std::vector<Descriptor>& layers,
                                                     const BuildCacheLimits& limits = {});

}  // namespace berth::spec
