// A build cache as a manifest and its configuration, over layers that are in the snapshotter.
#pragma once

#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/result.h"
#include "spec/build_cache.h"
#include "spec/image.h"
#include "storage/image_store.h"

namespace berth::storage {

struct BuildCacheDocument {
  spec::Manifest manifest;
  std::string config;  ///< what the manifest's config describes
};

/// The layers of the chains, parents first, each once; `lease` holds them.
Result<std::vector<Layer>> layers_of_chains(const Snapshotter& snapshotter,
                                            const std::vector<std::optional<Digest>>& chains, Lease& lease);
/// `layers` (of layers_of_chains()) must have their blobs; chains[i] is what records[i] gave, none: an empty
/// root. The records' own layers are put in here.
Result<BuildCacheDocument> make_build_cache(const std::vector<Layer>& layers,
                                            std::vector<spec::BuildCacheRecord> records,
                                            const std::vector<std::optional<Digest>>& chains);
/// The layer's blob, compressed and kept with it when there is none yet; `lease` holds it.
Result<LayerBlob> keep_compressed(ImageStore& images, const Layer& layer, Lease& lease, std::stop_token stop);

}  // namespace berth::storage
