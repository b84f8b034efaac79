// Build caches: their records at once, their layers when a build wants them.
#include <algorithm>

#include "base/format.h"
#include "registry/client/pull.h"
#include "spec/cache_manifest.h"

namespace berth::registry {
namespace {

constexpr size_t max_config_bytes = size_t{32} << 20;

/// Of an index of images the one for this host: its cache is in its configuration.
Result<RemoteManifest> cache_document(Repository& repository, const spec::Reference& reference) {
  std::string name = reference.digest() ? reference.digest()->str() : reference.tag();
  TRY(RemoteManifest document, repository.get_manifest(name, reference.digest()));
  if (!spec::is_index_type(document.media_type)) return document;
  TRY(spec::Index index, spec::parse_index(document.bytes));
  spec::Platform host = spec::Platform::host();
  auto image = std::find_if(index.manifests.begin(), index.manifests.end(), [&](const auto& descriptor) {
    return spec::is_manifest_type(descriptor.media_type) && descriptor.platform &&
           spec::matches(host, *descriptor.platform);
  });
  if (image == index.manifests.end()) return document;
  return repository.get_manifest(image->digest.str(), image->digest);
}

Result<spec::BuildCache> read_cache(Repository& repository, const spec::Reference& reference) {
  std::string name = reference.familiar_string();
  TRY(RemoteManifest document, cache_document(repository, reference));
  TRY(spec::CacheManifest found, spec::parse_cache_manifest(document.bytes, name));
  TRY(std::string config, repository.get_blob(found.config, max_config_bytes));
  if (found.config.media_type == spec::media_type::build_cache_config)
    return spec::parse_build_cache(config, found.blobs);
  TRY(auto cache, spec::parse_inline_cache(config, found.blobs));
  if (cache) return std::move(*cache);
  return failure(Kind::InvalidArgument, "{} is no build cache: the image was built without an inline cache",
                 name);
}

}  // namespace

Result<FetchedCache> Client::fetch_cache(const spec::Reference& given, const Credentials& credentials,
                                         std::stop_token stop) {
  spec::Reference reference = given.with_default_tag();
  FetchedCache fetched{.reference = reference, .cache = {}};
  auto look = [&](Repository& repository) -> Result<void> {
    TRY(fetched.cache, read_cache(repository, reference));
    return {};
  };
  CHECK(read_from_registry(*state_, reference, credentials, stop, look));
  return fetched;
}

Result<Digest> Pull::run_layers(const std::vector<const spec::BuildCacheLayer*>& chain) {
  std::optional<Digest> parent;
  for (const spec::BuildCacheLayer* layer : chain) {
    Digest chain_id = spec::chain_id(parent, layer->diff_id);
    lease_.add_chain(chain_id);
    lease_.add_blob(layer->blob.digest);
    // One that is here stays as it is: that a registry has other bytes for it matters to images alone.
    if (!state_.images.snapshotter().has_layer(chain_id))
      layers_.push_back(
          {.descriptor = layer->blob, .diff_id = layer->diff_id, .chain_id = chain_id, .parent = parent});
    parent = chain_id;
  }
  if (!parent) return Error(Kind::Internal, "a chain without layers");
  CHECK(fetch_layers());
  return *parent;
}

Result<Digest> Client::fetch_cache_chain(const FetchedCache& from, size_t layer,
                                         const Credentials& credentials, const MessageCallback& tell,
                                         std::stop_token stop) {
  auto teller = std::make_shared<Teller>(tell);
  PullRequest request{.reference = from.reference, .credentials = credentials};
  auto fetched =
      Pull(*state_, request, from.reference, teller, std::move(stop)).run_layers(from.cache.chain(layer));
  teller->close();
  return fetched;
}

}  // namespace berth::registry
