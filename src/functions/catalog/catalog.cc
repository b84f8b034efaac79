// Functions, versions and settings.
#include "functions/catalog/catalog.h"

#include <algorithm>
#include <charconv>
#include <random>

#include "base/format.h"
#include "base/id.h"
#include "functions/catalog/record_json.h"
#include "functions/catalog/store.h"

namespace berth::functions {
namespace {

uint64_t number(std::string_view text) {
  uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

/// Not make_shared: its block would stay whole for a weak pointer's sake.
FunctionVersionPtr share(FunctionVersion version) {
  return FunctionVersionPtr(new FunctionVersion(std::move(version)));
}

double draw() {
  static thread_local std::mt19937_64 generator{std::random_device{}()};
  return std::uniform_real_distribution<double>(0, 1)(generator);
}

/// A kept member that is not shown: how $LATEST was described when the version was made of it.
constexpr const char* described_before = "_LatestDescription";

/// Whether $LATEST is what it was when `published` was made of it.
bool same_content(const FunctionVersion& latest, const FunctionVersion& published) {
  FunctionVersion left = latest, right = published;
  if (auto before = right.kept_members.extract(described_before); !before.empty())
    right.description = before.mapped();
  left.version = right.version;
  left.revision_id = right.revision_id;
  left.last_modified = right.last_modified;
  left.state = right.state;
  left.state_reason = right.state_reason;
  left.state_reason_code = right.state_reason_code;
  left.update_status = right.update_status;
  left.update_reason = right.update_reason;
  left.update_reason_code = right.update_reason_code;
  return encode(left) == encode(right);
}

}  // namespace

std::string new_revision_id() {
  std::string hex = random_hex(16);
  hex[12] = '4';
  hex[16] = "89ab"[(hex[16] <= '9' ? hex[16] - '0' : hex[16] - 'a' + 10) & 3];
  return fmt::format("{}-{}-{}-{}-{}", hex.substr(0, 8), hex.substr(8, 4), hex.substr(12, 4),
                     hex.substr(16, 4), hex.substr(20));
}

Error function_not_found(const Realm& realm, std::string_view name, std::string_view qualifier) {
  std::string arn = function_arn(realm, std::string(name));
  if (!qualifier.empty()) arn.append(":").append(qualifier);
  return failure(Kind::NotFound, "Function not found: {}", arn);
}

FunctionVersionPtr FunctionEntry::version(std::string_view version) const {
  if (version.empty() || version == latest_version) return latest();
  if (!is_version_number(version)) return nullptr;
  auto found = published_.find(number(version));
  return found == published_.end() ? nullptr : found->second.get();
}

FunctionVersionPtr FunctionEntry::newest_published() const {
  return published_.empty() ? nullptr : published_.rbegin()->second.get();
}

std::vector<const StoredVersion*> FunctionEntry::versions() const {
  std::vector<const StoredVersion*> all{&*latest_};
  for (const auto& [number, version] : published_) all.push_back(&version);
  return all;
}

const FunctionSettings& FunctionEntry::settings() const {
  static const FunctionSettings fresh;
  return settings_ ? *settings_ : fresh;
}

Catalog::Catalog(std::unique_ptr<CatalogStore> store) : store_(std::move(store)) {}
Catalog::~Catalog() = default;

Result<std::unique_ptr<Catalog>> Catalog::open(storage::Database& database) {
  TRY(auto store, CatalogStore::open(database));
  std::unique_ptr<Catalog> catalog(new Catalog(std::make_unique<CatalogStore>(std::move(store))));
  CHECK(catalog->load());
  return catalog;
}

Result<void> Catalog::load() {
  CHECK(store_->each("version", [this](CatalogStore::Row& row) -> Result<void> {
    TRY(FunctionVersion version, decode_version(row.document));
    auto place = functions_.try_emplace({row.realm, row.name}).first;
    FunctionEntry& entry = place->second;
    entry.key_ = &place->first;
    StoredVersion stored(share(std::move(version)));
    if (row.key == latest_version) {
      entry.latest_ = std::move(stored);
    } else {
      entry.published_.emplace(number(row.key), std::move(stored));
    }
    return {};
  }));
  std::erase_if(functions_, [](const auto& item) { return !item.second.latest_; });
  CHECK(store_->each("settings", [this](CatalogStore::Row& row) -> Result<void> {
    auto found = functions_.find({row.realm, row.name});
    if (found == functions_.end()) return {};
    TRY(FunctionSettings settings, decode_settings(row.document));
    set_settings(found->second, std::move(settings));
    return {};
  }));
  CHECK(store_->each("layer", [this](CatalogStore::Row& row) -> Result<void> {
    TRY(LayerVersion layer, decode_layer(row.document));
    uint64_t version = layer.version;
    layers_[{row.realm, row.name}].emplace(version, std::move(layer));
    return {};
  }));
  CHECK(store_->each("layer-next", [this](CatalogStore::Row& row) -> Result<void> {
    next_layer_[{row.realm, row.name}] = number(row.document);
    return {};
  }));
  return store_->each("mapping", [this](CatalogStore::Row& row) -> Result<void> {
    TRY(EventSourceMapping mapping, decode_mapping(row.document));
    mappings_.emplace(row.key, std::move(mapping));
    return {};
  });
}

/// In place, for those who hold a reference.
void Catalog::set_settings(FunctionEntry& entry, FunctionSettings settings) {
  for (const auto& [qualifier, url] : entry.settings().urls) urls_.erase(url.id);
  if (entry.settings_) {
    *entry.settings_ = std::move(settings);
  } else if (encode(settings) != encode(FunctionSettings())) {
    entry.settings_ = std::make_unique<FunctionSettings>(std::move(settings));
  }
  for (const auto& [qualifier, url] : entry.settings().urls) urls_[url.id] = *entry.key_;
}

FunctionEntry* Catalog::entry(const Realm& realm, std::string_view name) {
  auto found = functions_.find({realm, std::string(name)});
  return found == functions_.end() ? nullptr : &found->second;
}

const FunctionEntry* Catalog::find(const Realm& realm, std::string_view name) const {
  auto found = functions_.find({realm, std::string(name)});
  return found == functions_.end() ? nullptr : &found->second;
}

Result<FunctionVersionPtr> Catalog::main_version(const FunctionEntry& entry,
                                                 std::string_view qualifier) const {
  if (auto version = entry.version(qualifier)) return version;
  auto alias = entry.settings().aliases.find(std::string(qualifier));
  if (alias != entry.settings().aliases.end()) {
    if (auto version = entry.version(alias->second.version)) return version;
  }
  return function_not_found(entry.realm(), entry.name(), qualifier);
}

Result<FunctionVersionPtr> Catalog::resolve(const Realm& realm, std::string_view name,
                                            std::string_view qualifier) const {
  TRY(FunctionReference reference, parse_function_reference(name, realm));
  if (!qualifier.empty() && !reference.qualifier.empty() && qualifier != reference.qualifier) {
    return Error(Kind::InvalidArgument,
                 "The derived qualifier from the function name does not match the specified qualifier.");
  }
  if (qualifier.empty()) qualifier = reference.qualifier;
  const FunctionEntry* entry = find(reference.realm, reference.name);
  if (entry == nullptr) return function_not_found(reference.realm, reference.name, qualifier);
  auto alias = entry->settings().aliases.find(std::string(qualifier));
  if (alias == entry->settings().aliases.end() || alias->second.weights.empty()) {
    return main_version(*entry, qualifier);
  }
  double drawn = draw();
  for (const auto& [version, weight] : alias->second.weights) {
    if (drawn < weight) return main_version(*entry, version);
    drawn -= weight;
  }
  return main_version(*entry, alias->second.version);
}

std::vector<const FunctionEntry*> Catalog::list(const Realm& realm) const {
  std::vector<const FunctionEntry*> entries;
  for (auto at = functions_.lower_bound({realm, {}}); at != functions_.end() && at->first.first == realm;
       ++at) {
    entries.push_back(&at->second);
  }
  return entries;
}

std::vector<const FunctionEntry*> Catalog::list_all() const {
  std::vector<const FunctionEntry*> entries;
  for (const auto& [key, entry] : functions_) entries.push_back(&entry);
  return entries;
}

Result<const FunctionEntry*> Catalog::create(FunctionVersion latest,
                                             std::map<std::string, std::string> tags) {
  if (find(latest.realm, latest.name) != nullptr) {
    return failure(Kind::AlreadyExists, "Function already exist: {}", latest.name);
  }
  FunctionKey key{latest.realm, latest.name};
  latest.version = latest_version;
  latest.revision_id = new_revision_id();
  latest.last_modified = now();
  FunctionSettings settings;
  settings.tags = std::move(tags);
  FunctionVersionPtr fresh = share(std::move(latest));
  CHECK(store_->together([&]() -> Result<void> {
    CHECK(store_->put({"version", key.first, key.second, latest_version}, encode(*fresh)));
    return store_->put({"settings", key.first, key.second}, encode(settings));
  }));
  auto place = functions_.try_emplace(key).first;
  FunctionEntry& kept = place->second;
  kept.key_ = &place->first;
  kept.latest_.emplace(fresh);
  set_settings(kept, std::move(settings));
  for (auto* listener : listeners_) listener->function_changed(key.first, key.second, fresh);
  return &kept;
}

void Catalog::retire(const StoredVersion& version) {
  std::erase_if(retired_, [](const auto& held) { return held.expired(); });
  if (auto held = version.held()) retired_.emplace_back(held);
}

Result<FunctionVersionPtr> Catalog::replace_latest(FunctionVersion latest) {
  FunctionEntry* held = entry(latest.realm, latest.name);
  if (held == nullptr) return function_not_found(latest.realm, latest.name);
  latest.version = latest_version;
  latest.revision_id = new_revision_id();
  latest.last_modified = now();
  CHECK(store_->put({"version", latest.realm, latest.name, latest_version}, encode(latest)));
  FunctionVersionPtr fresh = share(std::move(latest));
  retire(*held->latest_);
  held->latest_.emplace(fresh);
  for (auto* listener : listeners_) listener->function_changed(fresh->realm, fresh->name, fresh);
  return fresh;
}

Result<FunctionVersionPtr> Catalog::publish(const Realm& realm, const std::string& name,
                                            std::optional<std::string> description) {
  FunctionEntry* held = entry(realm, name);
  if (held == nullptr) return function_not_found(realm, name);
  FunctionVersionPtr latest = held->latest();
  FunctionVersion copy = *latest;
  if (description) copy.description = *description;
  if (!held->published_.empty()) {
    FunctionVersionPtr newest = held->published_.rbegin()->second.get();
    if (same_content(*latest, *newest)) return newest;
  }
  copy.kept_members[described_before] = latest->description;
  uint64_t next = held->settings().next_version;
  copy.version = std::to_string(next);
  copy.revision_id = new_revision_id();
  FunctionSettings settings = held->settings();
  settings.next_version = next + 1;
  CHECK(store_->together([&]() -> Result<void> {
    CHECK(store_->put({"version", realm, name, copy.version}, encode(copy)));
    return store_->put({"settings", realm, name}, encode(settings));
  }));
  set_settings(*held, std::move(settings));
  FunctionVersionPtr published = share(std::move(copy));
  held->published_.emplace(next, published);
  return published;
}

Result<void> Catalog::remove(const Realm& realm, const std::string& name) {
  FunctionEntry* held = entry(realm, name);
  if (held == nullptr) return function_not_found(realm, name);
  CHECK(store_->together([&]() -> Result<void> {
    CHECK(store_->remove_named("version", realm, name));
    return store_->remove_named("settings", realm, name);
  }));
  const FunctionKey key = *held->key_;  // what was given may be the entry's own
  for (const StoredVersion* version : held->versions()) retire(*version);
  for (const auto& [qualifier, url] : held->settings().urls) urls_.erase(url.id);
  functions_.erase(key);
  for (auto* listener : listeners_) listener->function_changed(key.first, key.second, nullptr);
  return {};
}

Result<void> Catalog::remove_version(const Realm& realm, const std::string& name, uint64_t version) {
  FunctionEntry* held = entry(realm, name);
  std::string text = std::to_string(version);
  if (held == nullptr || held->published_.count(version) == 0) return function_not_found(realm, name, text);
  CHECK(store_->remove({"version", realm, name, text}));
  FunctionVersionPtr removed = held->published_.at(version).get();
  retire(held->published_.at(version));
  held->published_.erase(version);
  for (auto* listener : listeners_) listener->version_removed(removed);
  return {};
}

Result<void> Catalog::update_settings(const Realm& realm, const std::string& name,
                                      const std::function<Result<void>(FunctionSettings&)>& change) {
  FunctionEntry* held = entry(realm, name);
  if (held == nullptr) return function_not_found(realm, name);
  FunctionSettings settings = held->settings();
  CHECK(change(settings));
  CHECK(store_->put({"settings", realm, name}, encode(settings)));
  set_settings(*held, std::move(settings));
  for (auto* listener : listeners_) listener->settings_changed(*held);
  return {};
}

std::optional<Catalog::UrlTarget> Catalog::find_url(std::string_view url_id) const {
  auto found = urls_.find(url_id);
  if (found == urls_.end()) return std::nullopt;
  const FunctionEntry* entry = find(found->second.first, found->second.second);
  if (entry == nullptr) return std::nullopt;
  for (const auto& [qualifier, url] : entry->settings().urls) {
    if (url.id == url_id) return UrlTarget{entry, &url};
  }
  return std::nullopt;
}

std::set<std::string> Catalog::code_directories() const {
  std::set<std::string> used;
  for (const auto& held : retired_) {
    auto version = held.lock();
    if (!version) continue;
    used.insert(version->code_directory);
    for (const auto& layer : version->layers) used.insert(layer.directory);
  }
  for (const auto& [key, entry] : functions_) {
    for (const StoredVersion* version : entry.versions()) {
      for (std::string& directory : version->directories()) used.insert(std::move(directory));
    }
  }
  for (const auto& [key, versions] : layers_) {
    for (const auto& [number, layer] : versions) used.insert(layer.directory);
  }
  return used;
}

uint64_t Catalog::total_code_size() const {
  uint64_t total = 0;
  for (const auto& [key, entry] : functions_) {
    for (const StoredVersion* version : entry.versions()) total += version->code_size();
  }
  for (const auto& [key, versions] : layers_) {
    for (const auto& [number, layer] : versions) total += layer.code_size;
  }
  return total;
}

std::string EventSourceMapping::arn() const {
  return fmt::format("arn:aws:lambda:{}:{}:event-source-mapping:{}", realm.region, realm.account, uuid);
}

}  // namespace berth::functions
