// What a build leaves in a registry for others: the configuration of BuildKit's cache manifests, with berth's
// own keys. Layers form chains by the index of their parent; a record says which chain the step of that key
// gave. Comes from registries, and so is hostile: bounded, every index checked.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/digest.h"
#include "base/result.h"
#include "spec/image.h"

namespace berth::spec {

namespace media_type {
inline constexpr std::string_view build_cache_config = "application/vnd.buildkit.cacheconfig.v0";
}

struct BuildCacheLayer {
  Descriptor blob;
  Digest diff_id;
  std::optional<size_t> parent = {};  ///< index of the layer below, which is smaller; none: the bottom
};

struct BuildCacheRecord {
  Digest key;
  std::optional<size_t> layer = {};  ///< index of the top of what the step gave; none: an empty root
  bool made_layer = false;
  Timestamp created = {};
  std::string description = {};
  uint64_t size = 0;  ///< content bytes of its layer
};

struct BuildCache {
  std::vector<BuildCacheLayer> layers = {};  ///< parents before children
  std::vector<BuildCacheRecord> records = {};

  /// The chain of a layer, bottom first.
  std::vector<const BuildCacheLayer*> chain(size_t layer) const;
};

struct BuildCacheLimits {
  size_t max_layers = 10'000;
  size_t max_records = 50'000;
};

/// Media types and sizes of blobs are those of `blobs`, the manifest's layers; one that is not among them is
/// InvalidArgument. Records that berth has not made (other tools' keys never match) are passed over.
Result<BuildCache> parse_build_cache(std::string_view config, const std::vector<Descriptor>& blobs,
                                     const BuildCacheLimits& limits = {});
std::string serialise(const BuildCache& cache);

}  // namespace berth::spec
