#include "api/docker/build_caches.h"

#include <map>
#include <set>

#include "base/format.h"
#include "base/json.h"
#include "base/log.h"
#include "base/sha256.h"
#include "engine/registries.h"
#include "io/cancel.h"
#include "registry/client/credentials.h"
#include "spec/cache_manifest.h"
#include "storage/build_cache_document.h"

namespace berth::api {
namespace {

constexpr size_t max_caches = 16;

Result<spec::Reference> reference_of(const std::string& text) {
  auto reference = spec::Reference::parse(text);
  if (!reference)
    return failure(Kind::InvalidArgument, "invalid build cache reference \"{}\": {}", text.substr(0, 256),
                   reference.error().message());
  return reference->with_default_tag();
}

bool is_of_client(const Json& entry) {
  return json_member(entry, "directory") != nullptr;
}

/// The objects of a list, each with a reference that is one, or a directory of the client's.
Result<std::vector<Json>> entries_of(const Json& object, const char* name) {
  std::vector<Json> entries;
  const Json* list = json_member(object, name);
  if (list == nullptr) return entries;
  if (!list->is_array() || list->size() > max_caches)
    return failure(Kind::InvalidArgument, "{} must be a list of {} caches at most", name, max_caches);
  for (const Json& entry : *list) {
    if (!is_of_client(entry)) {
      TRY(std::string text, json_string(entry, "ref"));
      CHECK(reference_of(text));
    }
    entries.push_back(entry);
  }
  return entries;
}

/// Caches whose records are known; layers come when a step wants them.
class KnownCaches final : public build::CacheSource {
 public:
  KnownCaches(engine::Engine& engine, std::string registry_config)
      : engine_(engine), registry_config_(std::move(registry_config)) {}

  /// `transfer`: its layers are the client's.
  void add(registry::FetchedCache fetched, std::shared_ptr<build::ClientTransfer> transfer = {}) {
    auto cache = std::make_shared<const registry::FetchedCache>(std::move(fetched));
    // The first cache that a client names goes before the others.
    for (size_t i = 0; i < cache->cache.records.size(); ++i)
      records_.try_emplace(cache->cache.records[i].key, Place{cache, i, transfer});
  }

  io::Task<std::optional<build::StepRecord>> find(Digest key, io::CancelToken cancel) override {
    using Found = std::optional<build::StepRecord>;
    auto entry = records_.find(key);
    if (entry == records_.end()) co_return Found();
    Place place = entry->second;
    const spec::BuildCacheRecord& from = place.cache->cache.records[place.record];
    build::StepRecord record{.key = std::move(key),
                             .made_layer = from.made_layer,
                             .created = from.created,
                             .description = from.description,
                             .size = from.size};
    if (!from.layer) co_return Found(std::move(record));
    auto bringing = bring_chain(place, *from.layer);
    auto waiting = io::unless_cancelled(std::move(bringing), std::move(cancel));
    auto chain = co_await std::move(waiting);
    if (!chain) {
      log::warn("build cache {}: {}", place.cache->reference.familiar_string(), chain.error().message());
      records_.erase(record.key);
      co_return Found();
    }
    record.chain_id = std::move(*chain);
    co_return Found(std::move(record));
  }

 private:
  struct Place {
    std::shared_ptr<const registry::FetchedCache> cache;
    size_t record = 0;
    std::shared_ptr<build::ClientTransfer> transfer = {};
  };

  io::Task<Result<Digest>> bring_chain(Place place, size_t layer) {
    if (place.transfer) {
      std::vector<spec::BuildCacheLayer> layers;
      for (const spec::BuildCacheLayer* one : place.cache->cache.chain(layer)) layers.push_back(*one);
      auto bringing = place.transfer->bring(std::move(layers));
      CO_CHECK(co_await std::move(bringing));
    }
    auto credentials = registry::credentials_from_config(registry_config_, place.cache->reference.domain());
    auto fetching = engine_.registries().fetch_cache_chain(place.cache, layer, std::move(credentials), {});
    co_return co_await std::move(fetching);
  }

  engine::Engine& engine_;
  std::string registry_config_;
  std::map<Digest, Place> records_;
};

/// Under this name nothing is ever looked up: layers of such a cache are brought before they are unpacked.
constexpr std::string_view client_cache_name = "build-cache.invalid/client:latest";

Result<registry::FetchedCache> read_client_cache(const CacheOrigin& origin) {
  TRY(auto reference, spec::Reference::parse(client_cache_name));
  TRY(spec::CacheManifest manifest, spec::parse_cache_manifest(origin.manifest, origin.name));
  if (sha256(origin.config) != manifest.config.digest)
    return failure(Kind::Corrupt, "the configuration of the cache {} is not what its manifest says",
                   origin.name);
  registry::FetchedCache fetched{.reference = std::move(reference), .cache = {}};
  if (manifest.config.media_type == spec::media_type::build_cache_config) {
    TRY(fetched.cache, spec::parse_build_cache(origin.config, manifest.blobs));
  } else {
    TRY(auto cache, spec::parse_inline_cache(origin.config, manifest.blobs));
    if (!cache) return failure(Kind::InvalidArgument, "{} is no build cache", origin.name);
    fetched.cache = std::move(*cache);
  }
  return fetched;
}

/// Of an image that is here and was built with an inline cache; its layers are unpacked.
std::optional<registry::FetchedCache> local_cache(storage::ImageStore& images,
                                                  const spec::Reference& reference) {
  auto image = images.resolve(reference.str());
  if (!image) return std::nullopt;
  auto config = images.config_bytes(image->id);
  if (!config) return std::nullopt;
  std::vector<spec::Descriptor> layers;
  for (const Digest& diff_id : image->config->diff_ids)
    layers.push_back({.media_type = std::string(spec::media_type::oci_layer), .digest = diff_id});
  auto cache = spec::parse_inline_cache(*config, layers);
  if (!cache || !*cache) return std::nullopt;
  return registry::FetchedCache{.reference = reference, .cache = std::move(**cache)};
}

io::Task<Result<registry::FetchedCache>> fetch_origin(Context& context, const CacheOrigin& origin,
                                                      const std::string& registry_config) {
  if (origin.is_of_client()) co_return read_client_cache(origin);
  CO_TRY(auto reference, reference_of(origin.name));
  if (auto local = local_cache(context.builder().images(), reference)) co_return std::move(*local);
  auto credentials = registry::credentials_from_config(registry_config, reference.domain());
  auto fetching = context.engine().registries().fetch_cache(reference, std::move(credentials));
  co_return co_await std::move(fetching);
}

Json wanted_blob(const std::string& cache, const std::string& token, const spec::Descriptor& blob) {
  return {{"event", "want"},
          {"cache", cache},
          {"token", token},
          {"digest", blob.digest.str()},
          {"size", blob.size}};
}

/// Gives the client the documents of a cache, and waits until it has taken its layers too.
io::Task<Result<void>> give_to_client(Context& context, std::string name,
                                      std::vector<spec::BuildCacheRecord> records,
                                      std::vector<std::optional<Digest>> chains,
                                      const CacheObserver& observer) {
  auto transfer = context.builder().transfers().open({});
  storage::ImageStore& images = transfer->images();
  auto pack = [&images, &lease = transfer->lease(), records = std::move(records),
               chains = std::move(chains)](std::stop_token stop) -> Result<storage::BuildCacheDocument> {
    TRY(auto layers, storage::layers_of_chains(images.snapshotter(), chains, lease));
    for (storage::Layer& layer : layers) {
      TRY(layer.blob, storage::keep_compressed(images, layer, lease, stop));
    }
    return storage::make_build_cache(layers, records, chains);
  };
  CO_TRY(auto document, co_await context.loop().on_worker(std::move(pack)));
  std::set<Digest> blobs;
  for (const spec::Descriptor& blob : document.manifest.layers) blobs.insert(blob.digest);
  transfer->offer(std::move(blobs));
  Json request = {{"event", "cache"},
                  {"cache", name},
                  {"token", transfer->token()},
                  {"manifest", spec::serialise(document.manifest)},
                  {"config", document.config}};
  observer.ask(std::move(request));
  co_await transfer->wait_until_taken();
  co_return Result<void>();
}

io::Task<Result<void>> push_to_registry(Context& context, std::string name,
                                        std::vector<spec::BuildCacheRecord> records,
                                        std::vector<std::optional<Digest>> chains,
                                        std::string registry_config) {
  CO_TRY(auto reference, reference_of(name));
  registry::CachePush push{.reference = reference, .cache = {}, .chains = std::move(chains)};
  push.cache.records = std::move(records);
  push.credentials = registry::credentials_from_config(registry_config, reference.domain());
  auto pushing = context.engine().registries().push_cache(std::move(push), {});
  CO_CHECK(co_await std::move(pushing));
  co_return Result<void>();
}

}  // namespace

Result<BuildCaches> parse_build_caches(const Json& object) {
  BuildCaches caches;
  TRY(auto sources, entries_of(object, "CacheFrom"));
  for (const Json& entry : sources) {
    CacheOrigin origin;
    TRY(origin.name, json_string(entry, is_of_client(entry) ? "directory" : "ref"));
    TRY(origin.manifest, json_string(entry, "manifest"));
    TRY(origin.config, json_string(entry, "config"));
    if (is_of_client(entry) != origin.is_of_client())
      return failure(Kind::InvalidArgument, "a build cache \"{}\" needs its manifest with its directory",
                     origin.name.substr(0, 256));
    caches.from.push_back(std::move(origin));
  }
  TRY(auto targets, entries_of(object, "CacheTo"));
  for (const Json& entry : targets) {
    CacheTarget target{.name = {}, .of_client = is_of_client(entry)};
    TRY(target.name, json_string(entry, target.of_client ? "directory" : "ref"));
    if (!target.of_client) {
      TRY(auto reference, reference_of(target.name));
      if (reference.digest())
        return failure(Kind::InvalidArgument, "a build cache cannot be written to a digest: {}", target.name);
    }
    TRY(std::string mode, json_string(entry, "mode"));
    if (!mode.empty() && mode != "min" && mode != "max")
      return failure(Kind::InvalidArgument, "invalid mode of a build cache \"{}\": it is min or max",
                     mode.substr(0, 64));
    target.all_stages = mode == "max";
    caches.to.push_back(std::move(target));
  }
  return caches;
}

io::Task<std::shared_ptr<build::CacheSource>> open_build_caches(Context& context,
                                                                std::vector<CacheOrigin> origins,
                                                                std::string registry_config,
                                                                const CacheObserver& observer) {
  auto caches = std::make_shared<KnownCaches>(context.engine(), registry_config);
  for (const CacheOrigin& origin : origins) {
    std::string name = "importing cache manifest from " + origin.name;
    observer.begun(name);
    auto fetching = fetch_origin(context, origin, registry_config);
    auto fetched = co_await std::move(fetching);
    observer.ended(name, fetched ? std::string() : fetched.error().message());
    if (!fetched) continue;
    std::shared_ptr<build::ClientTransfer> transfer;
    if (origin.is_of_client()) {
      auto token = std::make_shared<std::string>();
      transfer = context.builder().transfers().open(
          [ask = observer.ask, cache = origin.name, token](const spec::Descriptor& blob) {
            ask(wanted_blob(cache, *token, blob));
          });
      *token = transfer->token();
    }
    caches->add(std::move(*fetched), std::move(transfer));
  }
  co_return caches;
}

io::Task<Result<void>> export_build_cache(Context& context, CacheTarget target,
                                          std::vector<build::SharedStep> steps, std::string registry_config,
                                          const CacheObserver& observer) {
  std::string name =
      target.of_client ? "exporting cache to client directory" : "exporting cache to registry " + target.name;
  observer.begun(name);
  std::vector<spec::BuildCacheRecord> records;
  std::vector<std::optional<Digest>> chains;
  for (const build::SharedStep& step : steps) {
    if (!step.of_target && !target.all_stages) continue;
    records.push_back(build::shared_record(step.record));
    chains.push_back(step.record.chain_id);
  }
  io::Task<Result<void>> exporting =
      target.of_client
          ? give_to_client(context, target.name, std::move(records), std::move(chains), observer)
          : push_to_registry(context, target.name, std::move(records), std::move(chains), registry_config);
  auto exported = co_await std::move(exporting);
  observer.ended(name, exported ? std::string() : exported.error().message());
  if (!exported) co_return std::move(exported).error().in("exporting the build cache to " + target.name);
  co_return Result<void>();
}

}  // namespace berth::api
