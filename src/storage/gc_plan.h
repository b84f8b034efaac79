// Garbage collection as a pure function: what exists and what is referred to gives a list of removals. The
// image store performs it.
#pragma once

#include <optional>
#include <set>
#include <vector>

#include "base/digest.h"

namespace berth::storage {

struct GcLayer {
  Digest chain_id;
  std::optional<Digest> parent;
  std::optional<Digest> blob;
};

struct GcInput {
  std::vector<GcLayer> layers;
  std::set<Digest> blobs;
  std::set<Digest> chain_roots;  ///< of images, containers and leases; parents follow
  std::set<Digest> blob_roots;   ///< configurations, manifests, leased blobs
};

struct GcPlan {
  std::vector<Digest> layers;  ///< children before parents
  std::vector<Digest> blobs;
};

GcPlan plan_collection(const GcInput& input);

}  // namespace berth::storage
