#include "storage/build_cache_document.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/sha256.h"
#include "storage/background_sink.h"
#include "storage/compression.h"

namespace berth::storage {
namespace {

constexpr std::string_view config_type = spec::media_type::build_cache_config;

spec::Descriptor descriptor_of(const LayerBlob& blob) {
  std::string type = blob.media_type;
  if (type == spec::media_type::docker_layer) type = spec::media_type::oci_layer;
  if (type == spec::media_type::docker_layer_gzip) type = spec::media_type::oci_layer_gzip;
  return {.media_type = std::move(type), .digest = blob.digest, .size = static_cast<int64_t>(blob.size)};
}

}  // namespace

Result<std::vector<Layer>> layers_of_chains(const Snapshotter& snapshotter,
                                            const std::vector<std::optional<Digest>>& chains, Lease& lease) {
  std::vector<Layer> layers;
  std::set<Digest> known;
  for (const std::optional<Digest>& top : chains) {
    if (!top || known.contains(*top)) continue;
    lease.add_chain(*top);
    TRY(std::vector<Layer> chain, snapshotter.chain(*top));
    std::reverse(chain.begin(), chain.end());
    for (Layer& layer : chain) {
      if (known.insert(layer.chain_id).second) layers.push_back(std::move(layer));
    }
  }
  return layers;
}

Result<BuildCacheDocument> make_build_cache(const std::vector<Layer>& layers,
                                            std::vector<spec::BuildCacheRecord> records,
                                            const std::vector<std::optional<Digest>>& chains) {
  if (chains.size() != records.size())
    return Error(Kind::Internal, "a build cache without a chain for each record");
  spec::BuildCache cache{.records = std::move(records)};
  BuildCacheDocument document{
      .manifest = {.config = {.media_type = std::string(config_type), .digest = sha256("")}}, .config = {}};
  // The same layer upon different ones is listed once: whichever of them has got the blob.
  std::map<Digest, LayerBlob> blobs;
  for (const Layer& layer : layers) {
    if (layer.blob) blobs.emplace(layer.diff_id, *layer.blob);
  }
  std::map<Digest, size_t> places;
  std::set<Digest> listed;
  for (const Layer& layer : layers) {
    auto blob = blobs.find(layer.diff_id);
    if (blob == blobs.end()) return Error(Kind::Internal, "a layer of a build cache has no blob");
    spec::BuildCacheLayer entry{.blob = descriptor_of(blob->second), .diff_id = layer.diff_id};
    if (layer.parent) entry.parent = places.at(*layer.parent);
    places.emplace(layer.chain_id, cache.layers.size());
    if (listed.insert(entry.blob.digest).second) document.manifest.layers.push_back(entry.blob);
    cache.layers.push_back(std::move(entry));
  }
  for (size_t i = 0; i < cache.records.size(); ++i) {
    cache.records[i].layer.reset();
    if (chains[i]) cache.records[i].layer = places.at(*chains[i]);
  }
  document.config = spec::serialise(cache);
  document.manifest.config.digest = sha256(document.config);
  document.manifest.config.size = static_cast<int64_t>(document.config.size());
  return document;
}

Result<LayerBlob> keep_compressed(ImageStore& images, const Layer& layer, Lease& lease,
                                  std::stop_token stop) {
  TRY(Layer current, images.snapshotter().layer(layer.chain_id));
  if (current.blob && images.content().contains(current.blob->digest)) {
    lease.add_blob(current.blob->digest);
    return *current.blob;
  }
  TRY(auto ingest, images.content().begin());
  BackgroundSink hashed(*ingest);
  TRY(auto compressor, compress(hashed, Compression::Gzip));
  BackgroundSink background(*compressor);
  CHECK(images.snapshotter().write_layer_tar(layer.chain_id, background, stop, Snapshotter::Proof::Checksum));
  CHECK(background.finish());
  CHECK(compressor->finish());
  CHECK(hashed.finish());
  TRY(Digest digest, ingest->finish());
  lease.add_blob(digest);
  TRY(BlobInfo info, ingest->commit());
  LayerBlob blob{
      .digest = info.digest, .media_type = std::string(spec::media_type::oci_layer_gzip), .size = info.size};
  CHECK(images.snapshotter().set_blob(layer.chain_id, blob, sys::Durability::Fsync));
  return blob;
}

}  // namespace berth::storage
