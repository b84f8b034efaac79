// Artifacts: small documents that a registry keeps beside images (a Compose project, say), read whole.
#pragma once

#include <map>
#include <stop_token>
#include <string>
#include <vector>

#include "base/result.h"
#include "registry/client/client.h"

namespace berth::registry {

struct ArtifactRequest {
  spec::Reference reference;
  std::string type;         ///< artifactType; of an index the manifest of this type is taken
  std::string config_type;  ///< of manifests of OCI 1.0, which have no artifactType
  Credentials credentials = {};
};

struct ArtifactFile {
  std::string media_type;
  std::map<std::string, std::string> annotations;
  std::string content;
};

struct ArtifactLimits {
  size_t max_files = 64;
  size_t max_bytes = size_t{4} << 20;  ///< of all files
};

/// Blocking. What is no artifact of that type: InvalidArgument; one that is too large: Exhausted.
Result<std::vector<ArtifactFile>> fetch_artifact(const Settings& settings, storage::ImageStore& images,
                                                 const ArtifactRequest& request, std::stop_token stop,
                                                 const ArtifactLimits& limits = {});

}  // namespace berth::registry
