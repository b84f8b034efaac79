// Product: what the builds of one request have made: an image for each platform, and what is known of how.
#pragma once

#include <string>
#include <vector>

namespace berth::buildkit {

struct PlatformImage {
  std::string platform = {};    ///< "linux/arm64"
  std::string id = {};          ///< "sha256:..."
  std::string provenance = {};  ///< SLSA predicate (JSON) to attach; empty: none is wanted
  std::string history = {};     ///< the predicate that the history keeps, with all that is known
};

struct Product {
  std::vector<PlatformImage> images = {};  ///< empty: a call was answered, and nothing built
  bool several = false;                    ///< results are told apart by platform
  bool provenance_by_default = false;      ///< nobody asked for it: only images that leave the engine have it
};

}  // namespace berth::buildkit
