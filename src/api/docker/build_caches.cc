#include "api/docker/build_caches.h"

#include <map>

#include "base/format.h"
#include "base/json.h"
#include "base/log.h"
#include "engine/registries.h"
#include "io/cancel.h"
#include "registry/client/credentials.h"

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

/// The objects of a list, each with a reference that is one.
Result<std::vector<Json>> entries_of(const Json& object, const char* name) {
  std::vector<Json> entries;
  const Json* list = json_member(object, name);
  if (list == nullptr) return entries;
  if (!list->is_array() || list->size() > max_caches)
    return failure(Kind::InvalidArgument, "{} must be a list of {} caches at most", name, max_caches);
  for (const Json& entry : *list) {
    TRY(std::string text, json_string(entry, "ref"));
    CHECK(reference_of(text));
    entries.push_back(entry);
  }
  return entries;
}

/// Caches whose records are known; layers come when a step wants them.
class RegistryCaches final : public build::CacheSource {
 public:
  RegistryCaches(engine::Engine& engine, std::string registry_config)
      : engine_(engine), registry_config_(std::move(registry_config)) {}

  void add(registry::FetchedCache fetched) {
    auto cache = std::make_shared<const registry::FetchedCache>(std::move(fetched));
    // The first cache that a client names goes before the others.
    for (size_t i = 0; i < cache->cache.records.size(); ++i)
      records_.try_emplace(cache->cache.records[i].key, Place{cache, i});
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
    auto credentials = registry::credentials_from_config(registry_config_, place.cache->reference.domain());
    auto fetching =
        engine_.registries().fetch_cache_chain(place.cache, *from.layer, std::move(credentials), {});
    auto waiting = io::unless_cancelled(std::move(fetching), std::move(cancel));
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
  };
  engine::Engine& engine_;
  std::string registry_config_;
  std::map<Digest, Place> records_;
};

}  // namespace

Result<BuildCaches> parse_build_caches(const Json& object) {
  BuildCaches caches;
  TRY(auto sources, entries_of(object, "CacheFrom"));
  for (const Json& entry : sources) {
    TRY(std::string reference, json_string(entry, "ref"));
    caches.from.push_back(std::move(reference));
  }
  TRY(auto targets, entries_of(object, "CacheTo"));
  for (const Json& entry : targets) {
    CacheTarget target;
    TRY(target.reference, json_string(entry, "ref"));
    TRY(auto reference, reference_of(target.reference));
    if (reference.digest())
      return failure(Kind::InvalidArgument, "a build cache cannot be written to a digest: {}",
                     target.reference);
    TRY(std::string mode, json_string(entry, "mode"));
    if (!mode.empty() && mode != "min" && mode != "max")
      return failure(Kind::InvalidArgument, "invalid mode of a build cache \"{}\": it is min or max",
                     mode.substr(0, 64));
    target.all_stages = mode == "max";
    caches.to.push_back(std::move(target));
  }
  return caches;
}

io::Task<std::shared_ptr<build::CacheSource>> open_build_caches(engine::Engine& engine,
                                                                std::vector<std::string> references,
                                                                std::string registry_config,
                                                                const CacheObserver& observer) {
  auto caches = std::make_shared<RegistryCaches>(engine, registry_config);
  for (const std::string& text : references) {
    std::string name = "importing cache manifest from " + text;
    observer.begun(name);
    auto reference = reference_of(text);
    if (!reference) {
      observer.ended(name, reference.error().message());
      continue;
    }
    auto credentials = registry::credentials_from_config(registry_config, reference->domain());
    auto fetching = engine.registries().fetch_cache(*reference, std::move(credentials));
    auto fetched = co_await std::move(fetching);
    observer.ended(name, fetched ? std::string() : fetched.error().message());
    if (fetched) caches->add(std::move(*fetched));
  }
  co_return caches;
}

io::Task<Result<void>> export_build_cache(engine::Engine& engine, CacheTarget target,
                                          std::vector<build::SharedStep> steps, std::string registry_config,
                                          const CacheObserver& observer) {
  std::string name = "exporting cache to registry " + target.reference;
  observer.begun(name);
  auto reference = reference_of(target.reference);
  if (!reference) co_return std::move(reference).error();
  registry::CachePush push{.reference = *reference, .cache = {}, .chains = {}};
  push.credentials = registry::credentials_from_config(registry_config, reference->domain());
  for (const build::SharedStep& step : steps) {
    if (!step.of_target && !target.all_stages) continue;
    push.cache.records.push_back({.key = step.record.key,
                                  .made_layer = step.record.made_layer,
                                  .created = step.record.created,
                                  .description = step.record.description,
                                  .size = step.record.size});
    push.chains.push_back(step.record.chain_id);
  }
  auto pushing = engine.registries().push_cache(std::move(push), {});
  auto pushed = co_await std::move(pushing);
  observer.ended(name, pushed ? std::string() : pushed.error().message());
  if (!pushed) co_return std::move(pushed).error().in("exporting the build cache to " + target.reference);
  co_return Result<void>();
}

}  // namespace berth::api
