// Catalog: all functions, their versions, aliases, settings, layers and event source mappings. In memory for
// reading (versions packed, settings where there are any), in the database's component "functions" before a
// change counts. Loop thread alone.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "functions/catalog/names.h"
#include "functions/catalog/records.h"
#include "functions/catalog/stored_version.h"
#include "functions/model.h"

namespace berth::storage {
class Database;
}

namespace berth::functions {

class CatalogStore;

using FunctionKey = std::pair<Realm, std::string>;

/// One function with everything that belongs to it. References to what it returns live as long as it does.
class FunctionEntry {
 public:
  const Realm& realm() const { return key_->first; }
  const std::string& name() const { return key_->second; }
  FunctionVersionPtr latest() const { return latest_->get(); }
  /// "$LATEST" or a number; nullptr: no such version.
  FunctionVersionPtr version(std::string_view version) const;
  FunctionVersionPtr newest_published() const;  ///< nullptr: there is none
  /// $LATEST, then the published ones, oldest first.
  std::vector<const StoredVersion*> versions() const;
  const FunctionSettings& settings() const;

 private:
  friend class Catalog;
  const FunctionKey* key_ = nullptr;  ///< the catalog's own
  std::optional<StoredVersion> latest_;
  std::map<uint64_t, StoredVersion> published_;
  std::unique_ptr<FunctionSettings> settings_;  ///< null: as a new function has them
};

/// Told of changes after they are on disk.
class CatalogListener {
 public:
  virtual ~CatalogListener() = default;
  /// $LATEST has been made, changed or (nullptr) removed with the whole function.
  virtual void function_changed(const Realm&, const std::string& /*name*/, FunctionVersionPtr /*latest*/) {}
  /// A published version is gone.
  virtual void version_removed(FunctionVersionPtr) {}
  /// Aliases, concurrency, URLs, event-invoke configurations ... of the function have changed.
  virtual void settings_changed(const FunctionEntry&) {}
  virtual void mapping_changed(const EventSourceMapping&) {}
  virtual void mapping_removed(const EventSourceMapping&) {}
};

class Catalog {
 public:
  static Result<std::unique_ptr<Catalog>> open(storage::Database& database);
  ~Catalog();
  Catalog(const Catalog&) = delete;

  /// The listener must outlive the catalog's last change.
  void add_listener(CatalogListener& listener) { listeners_.push_back(&listener); }

  // Functions.
  /// By name, name:qualifier, partial or full ARN. `qualifier` of the request must agree with the name's own.
  /// An alias with weights draws one of its versions. NotFound: "Function not found: <arn>".
  Result<FunctionVersionPtr> resolve(const Realm& realm, std::string_view name,
                                     std::string_view qualifier = {}) const;
  /// nullptr: there is none.
  const FunctionEntry* find(const Realm& realm, std::string_view name) const;
  /// By name, of one realm; of all with list_all().
  std::vector<const FunctionEntry*> list(const Realm& realm) const;
  std::vector<const FunctionEntry*> list_all() const;
  /// AlreadyExists: "Function already exist: <name>".
  Result<const FunctionEntry*> create(FunctionVersion latest, std::map<std::string, std::string> tags);
  /// $LATEST anew, with a new revision id.
  Result<FunctionVersionPtr> replace_latest(FunctionVersion latest);
  /// A copy of $LATEST with the next number, or the newest version when nothing differs from it.
  Result<FunctionVersionPtr> publish(const Realm& realm, const std::string& name,
                                     std::optional<std::string> description);
  Result<void> remove(const Realm& realm, const std::string& name);
  Result<void> remove_version(const Realm& realm, const std::string& name, uint64_t version);
  /// Changes the settings through `change` and keeps them; an error of it leaves everything as it was.
  Result<void> update_settings(const Realm& realm, const std::string& name,
                               const std::function<Result<void>(FunctionSettings&)>& change);
  /// The version that a qualifier means now, without drawing: an alias' main version.
  Result<FunctionVersionPtr> main_version(const FunctionEntry& entry, std::string_view qualifier) const;
  /// The function and URL that a function URL's id names.
  struct UrlTarget {
    const FunctionEntry* entry = nullptr;
    const UrlConfig* url = nullptr;
  };
  std::optional<UrlTarget> find_url(std::string_view url_id) const;

  // Layers.
  Result<const LayerVersion*> add_layer(LayerVersion layer);  ///< numbers it
  const LayerVersion* find_layer(const Realm& realm, std::string_view name, uint64_t version) const;
  std::vector<const LayerVersion*> layer_versions(const Realm& realm,
                                                  std::string_view name) const;  ///< newest first
  std::vector<std::string> layer_names(const Realm& realm) const;
  Result<void> remove_layer(const Realm& realm, const std::string& name, uint64_t version);
  Result<void> update_layer(const Realm& realm, const std::string& name, uint64_t version,
                            const std::function<Result<void>(LayerVersion&)>& change);

  // Event source mappings.
  Result<void> put_mapping(EventSourceMapping mapping);  ///< new or changed
  const EventSourceMapping* find_mapping(std::string_view uuid) const;
  std::vector<const EventSourceMapping*> mappings() const;
  Result<void> remove_mapping(const std::string& uuid);
  /// What the poller says of itself; unchanged configuration, listeners are not told.
  Result<void> set_mapping_state(const std::string& uuid, std::string state, std::string last_result);

  // Documents of neighbours (roles, code signing configurations).
  Result<void> put_document(const KeptDocument& document);
  Result<std::optional<std::string>> document(std::string_view kind, std::string_view name) const;
  Result<std::vector<KeptDocument>> documents(std::string_view kind) const;
  Result<bool> remove_document(std::string_view kind, std::string_view name);

  // Code.
  /// Directories of unpacked code that versions (of the catalog, or those that somebody still holds) and
  /// layers use.
  std::set<std::string> code_directories() const;
  uint64_t total_code_size() const;
  size_t function_count() const { return functions_.size(); }

 private:
  explicit Catalog(std::unique_ptr<CatalogStore> store);
  using LayerKey = std::pair<Realm, std::string>;

  FunctionEntry* entry(const Realm& realm, std::string_view name);
  Result<void> load();
  void retire(const StoredVersion& version);
  void set_settings(FunctionEntry& entry, FunctionSettings settings);

  std::unique_ptr<CatalogStore> store_;
  std::map<FunctionKey, FunctionEntry> functions_;
  std::map<LayerKey, std::map<uint64_t, LayerVersion>> layers_;
  std::map<LayerKey, uint64_t> next_layer_;
  std::map<std::string, EventSourceMapping, std::less<>> mappings_;
  std::map<std::string, FunctionKey, std::less<>> urls_;
  /// Versions that left the catalog while somebody may still run them.
  mutable std::vector<std::weak_ptr<const FunctionVersion>> retired_;
  std::vector<CatalogListener*> listeners_;
};

/// "Function not found: arn:...".
Error function_not_found(const Realm& realm, std::string_view name, std::string_view qualifier = {});
std::string new_revision_id();  ///< a UUID; request ids too

}  // namespace berth::functions
