// Documents over layers, bottom up.
#include "storage/composition.h"

#include <algorithm>

#include "base/format.h"
#include "base/json.h"
#include "base/sha256.h"
#include "spec/package_url.h"
#include "storage/build_cache_document.h"
#include "storage/index_store.h"

namespace berth::storage {
namespace {

constexpr size_t max_images = 64;
constexpr size_t max_attestations = 16;  ///< of one image
constexpr std::string_view statement_type = "https://in-toto.io/Statement/v0.1";
constexpr std::string_view in_toto = "application/vnd.in-toto+json";

/// A manifest of ours is of OCI's family, whatever its layers came as.
std::string oci_layer_type(const std::string& type) {
  if (type == spec::media_type::docker_layer) return std::string(spec::media_type::oci_layer);
  if (type == spec::media_type::docker_layer_gzip) return std::string(spec::media_type::oci_layer_gzip);
  return type;
}

class Composer {
 public:
  Composer(ImageStore& images, const CompositionRequest& request)
      : images_(images), request_(request), lease_(images.lease()) {}

  Result<Composition> compose() {
    if (request_.images.empty()) return Error(Kind::InvalidArgument, "no image to put together");
    if (request_.images.size() > max_images)
      return failure(Kind::InvalidArgument, "an index has {} images at most", max_images);
    std::vector<spec::Descriptor> attestations;
    for (const ComposedImage& wanted : request_.images) {
      TRY(spec::Descriptor manifest, add_image(wanted));
      if (!wanted.attestations.empty()) {
        TRY(spec::Descriptor attestation, add_attestations(wanted, manifest));
        attestations.push_back(std::move(attestation));
      }
      index_.manifests.push_back(std::move(manifest));
    }
    Composition made{.top = index_.manifests.front(),
                     .closure = {},
                     .image = bearer_.value_or(request_.images.front().id),
                     .names = request_.names,
                     .descriptor_annotations = request_.descriptor_annotations,
                     .lease = std::move(lease_)};
    const bool alone = index_.manifests.size() == 1 && attestations.empty() && !request_.always_index;
    if (!alone) {
      for (spec::Descriptor& attestation : attestations) index_.manifests.push_back(std::move(attestation));
      index_.annotations = request_.annotations;
      TRY(made.top, put(spec::serialise(index_), spec::media_type::oci_index, made.lease));
    }
    made.closure = std::move(closure_);
    if (!alone) made.closure.documents.push_back(std::move(documents_.back()));
    return made;
  }

 private:
  Result<spec::Descriptor> put(std::string bytes, std::string_view type, Lease& lease) {
    spec::Descriptor descriptor{
        .media_type = std::string(type), .digest = sha256(bytes), .size = static_cast<int64_t>(bytes.size())};
    lease.add_blob(descriptor.digest);
    CHECK(images_.content().put(bytes));
    documents_.push_back({descriptor, std::move(bytes)});
    return descriptor;
  }

  void add_blob(const spec::Descriptor& blob) {
    const auto same = [&](const spec::Descriptor& other) { return other.digest == blob.digest; };
    if (std::none_of(closure_.blobs.begin(), closure_.blobs.end(), same)) closure_.blobs.push_back(blob);
  }

  Result<spec::Descriptor> add_image(const ComposedImage& wanted) {
    lease_.add_image(wanted.id);
    TRY(Image image, images_.get(wanted.id));
    const spec::Platform& platform = image.config->platform;
    for (const IndexImage& other : closure_.images) {
      if (other.platform == platform)
        return failure(Kind::InvalidArgument, "two images are for {}: an index has one for each platform",
                       platform.str());
    }
    if (!bearer_ && spec::matches(spec::Platform::host(), platform)) bearer_ = wanted.id;
    TRY(std::string config, images_.config_bytes(wanted.id));
    spec::Manifest manifest{.config = {.media_type = std::string(spec::media_type::oci_config),
                                       .digest = wanted.id,
                                       .size = static_cast<int64_t>(config.size())}};
    manifest.annotations = wanted.annotations;
    add_blob(manifest.config);
    auto size = static_cast<uint64_t>(config.size());
    std::vector<Layer> layers;
    if (image.chain_id) {
      lease_.add_chain(*image.chain_id);
      TRY(layers, images_.snapshotter().chain(*image.chain_id));
      std::reverse(layers.begin(), layers.end());
    }
    for (const Layer& layer : layers) {
      TRY(LayerBlob blob, keep_compressed(images_, layer, lease_, request_.stop));
      spec::Descriptor descriptor{.media_type = oci_layer_type(blob.media_type),
                                  .digest = blob.digest,
                                  .size = static_cast<int64_t>(blob.size)};
      add_blob(descriptor);
      manifest.layers.push_back(std::move(descriptor));
      size += blob.size;
    }
    TRY(spec::Descriptor made, put(spec::serialise(manifest), spec::media_type::oci_manifest, lease_));
    closure_.documents.push_back(std::move(documents_.back()));
    closure_.images.push_back(
        {.manifest = made.digest, .image = wanted.id, .platform = platform, .size = size});
    made.annotations = wanted.descriptor_annotations;
    made.platform = platform;
    return made;
  }

  Result<std::string> statement(const Attestation& attestation, const spec::Descriptor& manifest) const {
    TRY(Json predicate, parse_json(attestation.predicate));
    if (!predicate.is_object())
      return Error(Kind::InvalidArgument, "an attestation's predicate must be a JSON object");
    const Json digest = {{"sha256", manifest.digest.hex()}};
    Json subjects = Json::array();
    for (const spec::Reference& name : request_.names)
      subjects.push_back({{"name", spec::docker_package_url(name, *manifest.platform)}, {"digest", digest}});
    if (subjects.empty()) subjects.push_back({{"name", "_"}, {"digest", digest}});
    return to_json({{"_type", statement_type},
                    {"predicateType", attestation.predicate_type},
                    {"subject", std::move(subjects)},
                    {"predicate", std::move(predicate)}});
  }

  Result<spec::Descriptor> add_attestations(const ComposedImage& wanted, const spec::Descriptor& image) {
    if (wanted.attestations.size() > max_attestations)
      return failure(Kind::InvalidArgument, "an image has {} attestations at most", max_attestations);
    std::vector<spec::Descriptor> layers;
    Json diff_ids = Json::array();
    for (const Attestation& attestation : wanted.attestations) {
      TRY(std::string text, statement(attestation, image));
      TRY(spec::Descriptor layer, put(std::move(text), in_toto, lease_));
      layer.annotations["in-toto.io/predicate-type"] = attestation.predicate_type;
      diff_ids.push_back(layer.digest.str());
      add_blob(layer);
      layers.push_back(std::move(layer));
    }
    const Json config = {{"architecture", "unknown"},
                         {"os", "unknown"},
                         {"config", Json::object()},
                         {"rootfs", {{"type", "layers"}, {"diff_ids", std::move(diff_ids)}}}};
    TRY(spec::Descriptor described, put(to_json(config), spec::media_type::oci_config, lease_));
    add_blob(described);
    const spec::Manifest manifest{.config = std::move(described), .layers = std::move(layers)};
    TRY(spec::Descriptor made, put(spec::serialise(manifest), spec::media_type::oci_manifest, lease_));
    closure_.documents.push_back(std::move(documents_.back()));
    made.annotations = {{"vnd.docker.reference.digest", image.digest.str()},
                        {"vnd.docker.reference.type", "attestation-manifest"}};
    made.platform = spec::Platform{};
    made.platform->os = made.platform->architecture = "unknown";
    return made;
  }

  ImageStore& images_;
  const CompositionRequest& request_;
  Lease lease_;
  spec::Index index_;
  IndexClosure closure_;
  std::vector<IndexDocument> documents_;  ///< in the order in which they were made
  std::optional<Digest> bearer_;
};

}  // namespace

Result<Composition> compose_images(ImageStore& images, const CompositionRequest& request) {
  return Composer(images, request).compose();
}

Result<void> keep_composition(ImageStore& images, const Composition& composition) {
  TRY(std::string config, images.config_bytes(composition.image));
  ReceivedImage received{.config_bytes = std::move(config)};
  for (const IndexImage& image : composition.closure.images) {
    if (image.image == composition.image) received.manifest = image.manifest;
  }
  const bool index = spec::is_index_type(composition.top.media_type);
  for (const spec::Reference& name : composition.names) {
    received.names.push_back(name);
    // The index's digest among the names is what it is kept by.
    if (index) received.names.push_back(name.without_tag_and_digest().with_digest(composition.top.digest));
  }
  CHECK(images.receive(received));
  if (!index || composition.names.empty()) return {};
  return images.indexes().keep(composition.closure);
}

}  // namespace berth::storage
