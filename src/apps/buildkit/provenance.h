// Provenance: how an image was made, as BuildKit writes it down (SLSA v0.2,
// docs/attestations/slsa-definitions of BuildKit). Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "apps/buildkit/parameters.h"
#include "base/clock.h"
#include "base/json_fwd.h"

namespace berth::buildkit {

inline constexpr const char* provenance_type = "https://slsa.dev/provenance/v0.2";

/// An image that the build is made of.
struct Material {
  std::string reference;
  std::string platform;
  std::string digest;  ///< "sha256:...": of its manifest, or its id when it never came from a registry
};

struct BuildFacts {
  std::string ref;       ///< the build's
  std::string platform;  ///< of its result
  Timestamp started;
  Timestamp finished;
  std::vector<Material> materials = {};
  std::string dockerfile = {};  ///< its text; empty: it came with the context
};

/// The predicate. Secrets' contents are never in it; build arguments and the Dockerfile only with mode=max.
Json provenance(const BuildParameters& parameters, const Attributes& attributes, const BuildFacts& facts);

}  // namespace berth::buildkit
