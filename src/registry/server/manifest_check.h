// What a registry must know of a manifest before it stores it: that it is one thing and not two, and what it
// refers to. Any JSON manifest with descriptors is taken (unknown artifact types); bytes are never changed.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "registry/server/names.h"

namespace berth::registry::server {

inline constexpr size_t max_manifest_bytes = 4u << 20;

struct ManifestLink {
  enum class Target { Blob, Manifest };
  Target target;
  ContentDigest digest;
  uint64_t size = 0;
  bool elsewhere = false;  ///< a foreign layer: it may be missing here
};

struct CheckedManifest {
  std::string media_type;
  std::vector<ManifestLink> links;       ///< config, layers, blobs, manifests
  std::optional<ContentDigest> subject;  ///< may be missing here
  std::string artifact_type;             ///< artifactType, else the config's media type
  std::string annotations;               ///< a JSON object as text, or empty
};

/// InvalidArgument that says what is wrong: not JSON, more than 4 MiB, schema 1, a Content-Type that differs
/// from mediaType, a document that is manifest and index at once (CVE-2021-41190), a malformed descriptor.
Result<CheckedManifest> check_manifest(std::string_view body, std::string_view content_type);

}  // namespace berth::registry::server
