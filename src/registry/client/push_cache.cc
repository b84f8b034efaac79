// Push of a build cache: the layers of its chains, then a manifest whose configuration says which step gave
// which of them.
#include <algorithm>
#include <map>

#include "base/format.h"
#include "base/sha256.h"
#include "registry/client/push.h"

namespace berth::registry {
namespace {

spec::Descriptor descriptor_of(const storage::LayerBlob& blob) {
  std::string type = blob.media_type;
  if (type == spec::media_type::docker_layer) type = spec::media_type::oci_layer;
  if (type == spec::media_type::docker_layer_gzip) type = spec::media_type::oci_layer_gzip;
  return {.media_type = std::move(type), .digest = blob.digest, .size = static_cast<int64_t>(blob.size)};
}

}  // namespace

Result<std::vector<storage::Layer>> Push::layers_of(const std::vector<std::optional<Digest>>& chains) {
  std::vector<storage::Layer> layers;
  std::set<Digest> known;
  for (const std::optional<Digest>& top : chains) {
    if (!top || known.contains(*top)) continue;
    lease_.add_chain(*top);
    TRY(std::vector<storage::Layer> chain, state_.images.snapshotter().chain(*top));
    std::reverse(chain.begin(), chain.end());
    for (storage::Layer& layer : chain) {
      if (known.insert(layer.chain_id).second) layers.push_back(std::move(layer));
    }
  }
  return layers;
}

Result<Digest> Push::send_cache(const CachePush& request) {
  CHECK(find_endpoint());
  TRY(std::vector<storage::Layer> layers, layers_of(request.chains));
  CHECK(send_layers(layers, std::nullopt));
  TRY(layers, layers_of(request.chains));  // with the blobs that were made meanwhile
  spec::BuildCache cache{.records = request.cache.records};
  spec::Manifest manifest{
      .config = {.media_type = std::string(spec::media_type::build_cache_config), .digest = sha256("")}};
  // The same layer upon different ones is sent once: whichever of them has got the blob.
  std::map<Digest, storage::LayerBlob> blobs;
  for (const storage::Layer& layer : layers) {
    if (layer.blob) blobs.emplace(layer.diff_id, *layer.blob);
  }
  std::map<Digest, size_t> places;
  std::set<Digest> listed;
  for (const storage::Layer& layer : layers) {
    auto blob = blobs.find(layer.diff_id);
    if (blob == blobs.end()) return Error(Kind::Internal, "a layer was pushed without its blob being kept");
    spec::BuildCacheLayer entry{.blob = descriptor_of(blob->second), .diff_id = layer.diff_id};
    if (layer.parent) entry.parent = places.at(*layer.parent);
    places.emplace(layer.chain_id, cache.layers.size());
    if (listed.insert(entry.blob.digest).second) manifest.layers.push_back(entry.blob);
    cache.layers.push_back(std::move(entry));
  }
  for (size_t i = 0; i < cache.records.size(); ++i) {
    cache.records[i].layer.reset();
    if (request.chains[i]) cache.records[i].layer = places.at(*request.chains[i]);
  }
  std::string config = spec::serialise(cache);
  manifest.config.digest = sha256(config);
  manifest.config.size = static_cast<int64_t>(config.size());
  lease_.add_blob(manifest.config.digest);
  CHECK(state_.images.content().put(config, sys::Durability::None));
  Repository repository = open(outer_stop_);
  CHECK(send_blob(repository, manifest.config));
  std::string bytes = spec::serialise(manifest);
  CHECK(repository.put_manifest(request.reference.tag(), bytes, manifest.media_type));
  return sha256(bytes);
}

Result<Digest> Push::run_cache(const CachePush& request) {
  if (request.chains.size() != request.cache.records.size())
    return Error(Kind::Internal, "a build cache without a chain for each record");
  auto pushed = send_cache(request);
  teller_->close();
  return pushed;
}

Result<Digest> Client::push_cache(const CachePush& request, const MessageCallback& tell,
                                  std::stop_token stop) {
  PushRequest push{.reference = request.reference, .credentials = request.credentials};
  return Push(*state_, push, tell, std::move(stop)).run_cache(request);
}

}  // namespace berth::registry
