// What the image store's files share: the table, the cache of parsed configurations, leases, and the steps of
// registering and sweeping. Internal to storage.
#pragma once

#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/digest.h"
#include "base/result.h"
#include "spec/image.h"
#include "storage/image_store.h"
#include "storage/image_table.h"
#include "storage/index_store.h"

namespace berth::storage {

/// An image configuration is read whole into memory; docker's limit is the same.
inline constexpr size_t max_config_bytes = 8u << 20;

/// All leases that are held, so that a sweep can ask.
struct LeaseRegistry {
  std::mutex mutex;
  std::set<Lease::State*> held;
};

struct Lease::State {
  std::shared_ptr<LeaseRegistry> registry;
  std::set<Digest> blobs;  ///< guarded by registry->mutex, as the others
  std::set<Digest> chains;
  std::set<Digest> images;

  explicit State(std::shared_ptr<LeaseRegistry> of) : registry(std::move(of)) {
    std::lock_guard lock(registry->mutex);
    registry->held.insert(this);
  }
  ~State() {
    std::lock_guard lock(registry->mutex);
    registry->held.erase(this);
  }
};

/// Parsed configurations, least recently used out first.
class ConfigCache {
 public:
  using Config = std::shared_ptr<const spec::ImageConfig>;
  Config find(const Digest& id);
  void put(const Digest& id, Config config);
  void drop(const Digest& id);

 private:
  std::mutex mutex_;
  std::list<std::pair<Digest, Config>> entries_;
};

/// What a sweep may take.
struct SweepScope {
  /// Only these (an image that was just removed); none: everything but layers made a short while ago.
  std::optional<std::set<Digest>> layers = {};
  std::optional<std::set<Digest>> blobs = {};
};
struct Swept {
  std::vector<Digest> layers;
  uint64_t bytes = 0;
};

struct ImageStore::State {
  State(Database& db, ContentStore& content_store, Snapshotter& layers)
      : database(db),
        table(db),
        content(content_store),
        snapshotter(layers),
        indexes(db, content_store),
        leases(std::make_shared<LeaseRegistry>()) {}

  Database& database;
  ImageTable table;
  ContentStore& content;
  Snapshotter& snapshotter;
  IndexStore indexes;
  std::shared_ptr<LeaseRegistry> leases;
  ConfigCache configs;
  /// Serialises what makes and what removes references, so that a sweep never takes what is just being
  /// referred to. Taken before the snapshotter's and the database's locks.
  std::mutex references;
  /// Layers of images that were removed while something else stood on them: however young, nobody is about to
  /// refer to them for the first time. With `references` held.
  std::set<Digest> left_behind;

  Result<ConfigCache::Config> config(const Digest& id);
  Result<Image> assemble(ImageRow row, std::vector<spec::Reference> names);
  /// The image that a reference means; NotFound and ambiguity as ImageStore::resolve says.
  Result<Digest> find(std::string_view reference) const;
  /// Writes the configuration, the row and the names. `references` must not be held.
  Result<Digest> add_image(std::string_view config_bytes, const spec::ImageConfig& config,
                           std::optional<Digest> parent, std::optional<Digest> manifest,
                           const std::vector<spec::Reference>& names, const ProgressCallback& progress = {});
  /// Gives the image all these names; what they named before goes to `replaced`.
  Result<void> set_names(const Digest& id, const std::vector<spec::Reference>& names,
                         std::vector<NameRow>& replaced);
  Result<bool> has_names(const Digest& id, const std::vector<spec::Reference>& names);
  /// With `references` held.
  Result<Swept> sweep(const InUse& in_use, const SweepScope& scope);
  /// Rows whose layers are gone.
  Result<void> drop_broken_images();
};

}  // namespace berth::storage
