// The layers that images share, as a tree: which image stands on which layers, what it alone needs, and what
// its removal would free.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/digest.h"
#include "base/result.h"
#include "storage/image_store.h"

namespace berth::storage {

struct TreeLayer {
  Digest chain_id;
  Digest diff_id;
  std::optional<Digest> parent;  ///< chain id
  uint64_t size = 0;             ///< content bytes
  uint64_t blob_bytes = 0;       ///< of the bytes kept as they came; 0: none
  size_t images = 0;             ///< that stand on it
};

struct TreeImage {
  Digest id;
  std::vector<std::string> names;  ///< tags, else digests, familiar; none: dangling or intermediate
  std::optional<Digest> chain_id;  ///< its top layer
  uint64_t size = 0;               ///< content bytes of all its layers
  uint64_t frees = 0;              ///< bytes of layers, blobs and documents that nothing else needs
  size_t containers = 0;           ///< that are made of it: they stand in the way of removal
  size_t children = 0;             ///< images built on it: likewise
};

struct LayerTree {
  std::vector<TreeLayer> layers;  ///< parents before children
  std::vector<TreeImage> images;  ///< by name
  uint64_t layers_bytes = 0;      ///< content and blobs of all layers, once
};

Result<LayerTree> layer_tree(ImageStore& images, const InUse& in_use);

}  // namespace berth::storage
