// docker's `build --squash`: an image like another, whose layers above a base are one. Internal to build/; on
// a worker.
#pragma once

#include <optional>
#include <stop_token>
#include <vector>

#include "base/clock.h"
#include "base/digest.h"
#include "base/result.h"
#include "spec/reference.h"
#include "storage/image_store.h"

namespace berth::build {

struct SquashBase {
  std::optional<Digest> image = {};     ///< of FROM; none: scratch
  std::optional<Digest> chain_id = {};  ///< its layers
  size_t history = 0;                   ///< entries of its history
};

/// The new image's id; the names are given to it.
Result<Digest> squash_image(storage::ImageStore& images, const Digest& image, const SquashBase& base,
                            Timestamp created, std::vector<spec::Reference> tags, std::stop_token stop = {});

}  // namespace berth::build
