// Push of a build cache: the layers of its chains, then a manifest whose configuration says which step gave
// which of them.
#include "base/sha256.h"
#include "registry/client/push.h"
#include "storage/build_cache_document.h"

namespace berth::registry {
Result<Digest> Push::send_cache(const CachePush& request) {
  CHECK(find_endpoint());
  storage::Snapshotter& snapshotter = state_.images.snapshotter();
  TRY(auto layers, storage::layers_of_chains(snapshotter, request.chains, lease_));
  CHECK(send_layers(layers, std::nullopt, std::nullopt));
  // With the blobs that were made meanwhile.
  TRY(layers, storage::layers_of_chains(snapshotter, request.chains, lease_));
  TRY(auto document, storage::make_build_cache(layers, request.cache.records, request.chains));
  const spec::Manifest& manifest = document.manifest;
  lease_.add_blob(manifest.config.digest);
  CHECK(state_.images.content().put(document.config, sys::Durability::None));
  Repository repository = open(outer_stop_);
  CHECK(send_blob(repository, manifest.config));
  std::string bytes = spec::serialise(manifest);
  CHECK(repository.put_manifest(request.reference.tag(), bytes, manifest.media_type));
  return sha256(bytes);
}

Result<Digest> Push::run_cache(const CachePush& request) {
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
