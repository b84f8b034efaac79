// Layers, event source mappings and neighbours' documents of the catalog.
#include <algorithm>

#include "base/format.h"
#include "functions/catalog/catalog.h"
#include "functions/catalog/record_json.h"
#include "functions/catalog/store.h"

namespace berth::functions {
namespace {

Error layer_not_found(const Realm& realm, std::string_view name, uint64_t version) {
  return failure(Kind::NotFound, "Layer version arn:aws:lambda:{}:{}:layer:{}:{} does not exist.",
                 realm.region, realm.account, name, version);
}

}  // namespace

std::string LayerVersion::layer_arn() const {
  return fmt::format("arn:aws:lambda:{}:{}:layer:{}", realm.region, realm.account, name);
}
std::string LayerVersion::arn() const {
  return fmt::format("{}:{}", layer_arn(), version);
}

Result<const LayerVersion*> Catalog::add_layer(LayerVersion layer) {
  LayerKey key{layer.realm, layer.name};
  uint64_t next = std::max<uint64_t>(next_layer_[key], 1);
  layer.version = next;
  layer.created = now();
  CHECK(store_->together([&]() -> Result<void> {
    CHECK(store_->put({"layer", layer.realm, layer.name, std::to_string(next)}, encode(layer)));
    return store_->put({"layer-next", layer.realm, layer.name}, std::to_string(next + 1));
  }));
  next_layer_[key] = next + 1;
  auto [placed, made] = layers_[key].insert_or_assign(next, std::move(layer));
  return &placed->second;
}

const LayerVersion* Catalog::find_layer(const Realm& realm, std::string_view name, uint64_t version) const {
  auto layer = layers_.find({realm, std::string(name)});
  if (layer == layers_.end()) return nullptr;
  auto found = layer->second.find(version);
  return found == layer->second.end() ? nullptr : &found->second;
}

std::vector<const LayerVersion*> Catalog::layer_versions(const Realm& realm, std::string_view name) const {
  std::vector<const LayerVersion*> versions;
  auto layer = layers_.find({realm, std::string(name)});
  if (layer == layers_.end()) return versions;
  for (auto at = layer->second.rbegin(); at != layer->second.rend(); ++at) versions.push_back(&at->second);
  return versions;
}

std::vector<std::string> Catalog::layer_names(const Realm& realm) const {
  std::vector<std::string> names;
  for (const auto& [key, versions] : layers_) {
    if (key.first == realm && !versions.empty()) names.push_back(key.second);
  }
  return names;
}

Result<void> Catalog::remove_layer(const Realm& realm, const std::string& name, uint64_t version) {
  CHECK(store_->remove({"layer", realm, name, std::to_string(version)}));
  auto layer = layers_.find({realm, name});
  if (layer == layers_.end()) return {};
  layer->second.erase(version);
  if (layer->second.empty()) layers_.erase(layer);
  return {};
}

Result<void> Catalog::update_layer(const Realm& realm, const std::string& name, uint64_t version,
                                   const std::function<Result<void>(LayerVersion&)>& change) {
  const LayerVersion* held = find_layer(realm, name, version);
  if (held == nullptr) return layer_not_found(realm, name, version);
  LayerVersion changed = *held;
  CHECK(change(changed));
  CHECK(store_->put({"layer", realm, name, std::to_string(version)}, encode(changed)));
  layers_[{realm, name}].insert_or_assign(version, std::move(changed));
  return {};
}

Result<void> Catalog::put_mapping(EventSourceMapping mapping) {
  mapping.modified = now();
  CHECK(store_->put({"mapping", {}, {}, mapping.uuid}, encode(mapping)));
  auto [placed, made] = mappings_.insert_or_assign(mapping.uuid, std::move(mapping));
  const EventSourceMapping kept = placed->second;
  for (auto* listener : listeners_) listener->mapping_changed(kept);
  return {};
}

const EventSourceMapping* Catalog::find_mapping(std::string_view uuid) const {
  auto found = mappings_.find(uuid);
  return found == mappings_.end() ? nullptr : &found->second;
}

std::vector<const EventSourceMapping*> Catalog::mappings() const {
  std::vector<const EventSourceMapping*> all;
  for (const auto& [uuid, mapping] : mappings_) all.push_back(&mapping);
  return all;
}

Result<void> Catalog::remove_mapping(const std::string& uuid) {
  CHECK(store_->remove({"mapping", {}, {}, uuid}));
  auto found = mappings_.find(uuid);
  if (found == mappings_.end()) return {};
  EventSourceMapping removed = std::move(found->second);
  mappings_.erase(found);
  for (auto* listener : listeners_) listener->mapping_removed(removed);
  return {};
}

Result<void> Catalog::set_mapping_state(const std::string& uuid, std::string state, std::string last_result) {
  auto found = mappings_.find(uuid);
  if (found == mappings_.end()) return {};
  EventSourceMapping& mapping = found->second;
  if (mapping.state == state && mapping.last_result == last_result) return {};
  mapping.state = std::move(state);
  mapping.last_result = std::move(last_result);
  return store_->put({"mapping", {}, {}, uuid}, encode(mapping));
}

Result<void> Catalog::put_document(const KeptDocument& document) {
  return store_->put({document.kind, {}, document.name}, document.text);
}

Result<std::optional<std::string>> Catalog::document(std::string_view kind, std::string_view name) const {
  return store_->get({kind, {}, name});
}

Result<std::vector<KeptDocument>> Catalog::documents(std::string_view kind) const {
  std::vector<KeptDocument> all;
  CHECK(store_->each(kind, [&](CatalogStore::Row& row) -> Result<void> {
    all.push_back({std::string(kind), std::move(row.name), std::move(row.document)});
    return {};
  }));
  return all;
}

Result<bool> Catalog::remove_document(std::string_view kind, std::string_view name) {
  return store_->remove({kind, {}, name});
}

}  // namespace berth::functions
