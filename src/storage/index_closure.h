// Everything that an index (manifest list) leads to: nested indexes, manifests, configurations, layers.
// Documents come from wherever the index is (a registry, an archive, the store); each is checked against the
// descriptor that names it. Bounded; knows no store.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/digest.h"
#include "base/result.h"
#include "spec/image.h"

namespace berth::storage {

struct IndexDocument {
  spec::Descriptor descriptor;  ///< of a manifest or an index; the size is that of `bytes`
  std::string bytes;
};

/// One image of an index.
struct IndexImage {
  Digest manifest;
  Digest image;  ///< its configuration's digest, which is its id
  spec::Platform platform;
  uint64_t size = 0;  ///< bytes of configuration and layers as they travel
  bool operator==(const IndexImage&) const = default;
};

struct IndexClosure {
  std::vector<IndexDocument> documents;  ///< what others name comes first, the index itself last
  std::vector<spec::Descriptor> blobs;   ///< configurations and layers, each once; no foreign layers
  std::vector<IndexImage> images;        ///< without attestations
};

struct IndexLimits {
  int max_depth = 4;
  size_t max_documents = 1024;
  size_t max_document_bytes = size_t{64} << 20;  ///< of all documents together
  size_t max_blobs = 20'000;
};

/// The bytes that a descriptor names; they are verified by walk_index().
using ReadDocument = std::function<Result<std::string>(const spec::Descriptor& descriptor)>;

/// What an index cannot be: nested too deep or too large (Exhausted), with bytes that are not those of its
/// descriptors (Corrupt), with documents that are neither manifests nor indexes (InvalidArgument).
Result<IndexClosure> walk_index(const IndexDocument& index, const ReadDocument& read,
                                const IndexLimits& limits = {});

/// Signatures and attestations that travel in an index beside images.
bool is_attestation(const spec::Descriptor& descriptor);

/// The image of an index that is meant for a platform: an equal variant before any. None: null.
const IndexImage* find_platform(const std::vector<IndexImage>& images, const spec::Platform& wanted);

}  // namespace berth::storage
