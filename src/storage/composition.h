// Composition: images of this store put together under one index, as builds for several platforms and builds
// with attestations leave them. Manifests over the layers' compressed blobs, attestation manifests beside
// them (BuildKit's docs/attestations/attestation-storage.md), and the index that names all. It can be kept
// under names (index_store.h) or written as an OCI layout.
#pragma once

#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/digest.h"
#include "base/result.h"
#include "spec/image.h"
#include "spec/reference.h"
#include "storage/byte_stream.h"
#include "storage/image_store.h"
#include "storage/index_closure.h"

namespace berth::storage {

using Annotations = std::map<std::string, std::string>;

/// What is said about an image, to become an in-toto statement whose subject is the image's manifest.
struct Attestation {
  std::string predicate_type;  ///< "https://slsa.dev/provenance/v0.2"
  std::string predicate;       ///< a JSON object
};

struct ComposedImage {
  Digest id;
  Annotations annotations = {};             ///< of its manifest
  Annotations descriptor_annotations = {};  ///< of the manifest's descriptor in the index
  std::vector<Attestation> attestations = {};
};

struct CompositionRequest {
  std::vector<ComposedImage> images;  ///< one at least, 64 at most
  std::vector<spec::Reference> names = {};
  Annotations annotations = {};             ///< of the index
  Annotations descriptor_annotations = {};  ///< of the index's descriptor, in a layout
  bool always_index = false;                ///< an index even of one image without attestations
  std::stop_token stop = {};
};

struct Composition {
  spec::Descriptor top;  ///< the index; the manifest alone of one image without attestations
  IndexClosure closure;  ///< everything `top` leads to, `top` last; all of it is in the content store
  Digest image;          ///< the image that bears the names: the host's, or else the first
  std::vector<spec::Reference> names;
  Annotations descriptor_annotations;
  Lease lease;  ///< holds the blobs until they are kept
};

/// Makes what is missing: compressed blobs of layers that were born here, and all documents. InvalidArgument:
/// no image, two for one platform, a predicate that is no JSON object.
Result<Composition> compose_images(ImageStore& images, const CompositionRequest& request);

/// Gives the image that bears the names all of them, and keeps the index.
Result<void> keep_composition(ImageStore& images, const Composition& composition);

/// What reads an archive: docker's own readers want a manifest.json too, which knows of one image alone.
enum class LayoutFlavour { Oci, Docker };
/// An OCI layout in a tar. Docker's flavour of several images: InvalidArgument.
Result<void> write_layout(ImageStore& images, const Composition& composition, LayoutFlavour flavour,
                          ByteSink& out, std::stop_token stop);

}  // namespace berth::storage
