// Build caches: their records at once, their layers when a build wants them.
#include <algorithm>

#include "base/format.h"
#include "registry/client/pull.h"

namespace berth::registry {
namespace {

constexpr size_t max_config_bytes = size_t{32} << 20;

bool is_cache_config(const spec::Descriptor& descriptor) {
  return descriptor.media_type == spec::media_type::build_cache_config;
}

/// A cache is a manifest with a configuration of that type, or an index that names one among its layers.
struct CacheDocument {
  spec::Descriptor config;
  std::vector<spec::Descriptor> blobs;
};

Result<CacheDocument> read_document(const RemoteManifest& document, const std::string& name) {
  if (spec::is_index_type(document.media_type)) {
    TRY(spec::Index index, spec::parse_index(document.bytes));
    auto config = std::find_if(index.manifests.begin(), index.manifests.end(), is_cache_config);
    if (config != index.manifests.end()) return CacheDocument{*config, index.manifests};
  } else {
    TRY(spec::Manifest manifest, spec::parse_manifest(document.bytes));
    if (is_cache_config(manifest.config)) return CacheDocument{manifest.config, manifest.layers};
  }
  return failure(Kind::InvalidArgument, "{} is no build cache: it has no configuration of type {}", name,
                 spec::media_type::build_cache_config);
}

}  // namespace

Result<FetchedCache> Client::fetch_cache(const spec::Reference& given, const Credentials& credentials,
                                         std::stop_token stop) {
  spec::Reference reference = given.with_default_tag();
  FetchedCache fetched{.reference = reference, .cache = {}};
  auto look = [&](Repository& repository) -> Result<void> {
    std::string name = reference.digest() ? reference.digest()->str() : reference.tag();
    TRY(RemoteManifest document, repository.get_manifest(name, reference.digest()));
    TRY(CacheDocument found, read_document(document, reference.familiar_string()));
    TRY(std::string config, repository.get_blob(found.config, max_config_bytes));
    TRY(fetched.cache, spec::parse_build_cache(config, found.blobs));
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
