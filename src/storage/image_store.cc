// Finding, listing, naming images, and collection. Removing is in image_remove.cc; making in image_create.cc,
// image_load.cc; writing in image_save.cc.
#include "storage/image_store.h"

#include <algorithm>

#include "base/format.h"
#include "base/log.h"
#include "storage/held_blobs.h"
#include "storage/image_lookup.h"
#include "storage/image_state.h"

namespace berth::storage {
namespace {

constexpr size_t cached_configs = 64;
/// A build or commit refers to its new layer within this time.
constexpr std::chrono::seconds young_layer_age = std::chrono::minutes(15);

}  // namespace

ConfigCache::Config ConfigCache::find(const Digest& id) {
  std::lock_guard lock(mutex_);
  auto it =
      std::find_if(entries_.begin(), entries_.end(), [&](const auto& entry) { return entry.first == id; });
  if (it == entries_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, it);
  return it->second;
}

void ConfigCache::put(const Digest& id, Config config) {
  std::lock_guard lock(mutex_);
  entries_.emplace_front(id, std::move(config));
  if (entries_.size() > cached_configs) entries_.pop_back();
}

void ConfigCache::drop(const Digest& id) {
  std::lock_guard lock(mutex_);
  entries_.remove_if([&](const auto& entry) { return entry.first == id; });
}

Lease::Lease(std::shared_ptr<State> state) : state_(std::move(state)) {}
Lease::Lease(Lease&&) noexcept = default;
Lease& Lease::operator=(Lease&&) noexcept = default;
Lease::~Lease() = default;

void Lease::add_blob(const Digest& digest) {
  std::lock_guard lock(state_->registry->mutex);
  state_->blobs.insert(digest);
}
void Lease::add_chain(const Digest& chain_id) {
  std::lock_guard lock(state_->registry->mutex);
  state_->chains.insert(chain_id);
}
void Lease::add_image(const Digest& id) {
  std::lock_guard lock(state_->registry->mutex);
  state_->images.insert(id);
}

ImageStore::ImageStore(Database& database, ContentStore& content, Snapshotter& snapshotter)
    : database_(database),
      content_(content),
      snapshotter_(snapshotter),
      state_(std::make_unique<State>(database, content, snapshotter)) {}
ImageStore::~ImageStore() = default;

Result<std::unique_ptr<ImageStore>> ImageStore::open(Database& database, ContentStore& content,
                                                     Snapshotter& snapshotter) {
  std::unique_ptr<ImageStore> store(new ImageStore(database, content, snapshotter));
  CHECK(store->state_->table.create());
  CHECK(HeldBlobs::create(database));
  CHECK(store->state_->indexes.create());
  CHECK(store->state_->drop_broken_images());
  return store;
}

Result<void> ImageStore::State::drop_broken_images() {
  TRY(std::vector<ImageRow> rows, table.all());
  for (const ImageRow& row : rows) {
    bool has_config = content.read(row.id, max_config_bytes).has_value();
    if (has_config && (!row.chain_id || snapshotter.has_layer(*row.chain_id))) continue;
    if (!has_config) CHECK(content.remove(row.id));
    log::warn("image {} has lost its content and is removed", row.id.str());
    CHECK(table.remove(row.id));
  }
  return {};
}

Result<ConfigCache::Config> ImageStore::State::config(const Digest& id) {
  if (auto cached = configs.find(id)) return cached;
  TRY(std::string bytes, content.read(id, max_config_bytes));
  TRY(spec::ImageConfig parsed, spec::parse_image_config(bytes));
  ConfigCache::Config config = std::make_shared<const spec::ImageConfig>(std::move(parsed));
  configs.put(id, config);
  return config;
}

Result<Image> ImageStore::State::assemble(ImageRow row, std::vector<spec::Reference> names) {
  TRY(ConfigCache::Config parsed, config(row.id));
  Image image{.id = std::move(row.id),
              .config = std::move(parsed),
              .parent = std::move(row.parent),
              .chain_id = std::move(row.chain_id),
              .size = row.size,
              .last_tagged = row.last_tagged,
              .manifest = std::move(row.manifest)};
  // docker's order: by whole names, so that "docker/x" comes before "library/a", which is shown as "a".
  std::sort(names.begin(), names.end(), [](const auto& a, const auto& b) { return a.str() < b.str(); });
  for (const spec::Reference& name : names) {
    (name.digest() ? image.repo_digests : image.repo_tags).push_back(name.familiar_string());
  }
  return image;
}

Result<Digest> ImageStore::State::find(std::string_view reference) const {
  return find_image(table, reference);
}

Result<Image> ImageStore::resolve(std::string_view reference) const {
  TRY(Digest id, state_->find(reference));
  return get(id);
}

Result<Image> ImageStore::get(const Digest& id) const {
  TRY(auto row, state_->table.find(id));
  if (!row) return no_such_image(id.str());
  TRY(std::vector<spec::Reference> names, state_->table.names_of(id));
  return state_->assemble(std::move(*row), std::move(names));
}

Result<std::string> ImageStore::config_bytes(const Digest& id) const {
  return content_.read(id, max_config_bytes);
}

Result<std::vector<Image>> ImageStore::list(bool include_intermediate) const {
  TRY(std::vector<ImageRow> rows, state_->table.all());
  TRY(std::vector<NameRow> names, state_->table.all_names());
  std::map<Digest, std::vector<spec::Reference>> names_of;
  for (NameRow& name : names) names_of[name.image].push_back(std::move(name.reference));
  std::set<Digest> parents;
  for (const ImageRow& row : rows) {
    if (row.parent) parents.insert(*row.parent);
  }
  std::vector<Image> images;
  for (ImageRow& row : rows) {
    auto& own_names = names_of[row.id];
    if (!include_intermediate && own_names.empty() && parents.contains(row.id)) continue;
    TRY(Image image, state_->assemble(std::move(row), std::move(own_names)));
    images.push_back(std::move(image));
  }
  std::stable_sort(images.begin(), images.end(), [](const Image& a, const Image& b) {
    return a.config->created.value_or(Timestamp{}) > b.config->created.value_or(Timestamp{});
  });
  return images;
}

Result<std::vector<Digest>> ImageStore::children(const Digest& id) const {
  return state_->table.children(id);
}

bool ImageStore::is_dangling(const Image& image) const {
  if (!image.repo_tags.empty()) return false;
  auto below = children(image.id);
  return below && below->empty();
}

Result<std::vector<HistoryItem>> ImageStore::history(const Digest& id) const {
  TRY(Image image, get(id));
  std::vector<Layer> layers;
  if (image.chain_id) {
    TRY(layers, snapshotter_.chain(*image.chain_id));
    std::reverse(layers.begin(), layers.end());
  }
  std::vector<HistoryItem> items;
  size_t layer = 0;
  for (const spec::HistoryEntry& entry : image.config->history) {
    bool has_layer = !entry.empty_layer && layer < layers.size();
    items.push_back({.id = "<missing>",
                     .created = entry.created.value_or(Timestamp{}),
                     .created_by = entry.created_by,
                     .size = has_layer ? layers[layer].size : 0,
                     .comment = entry.comment});
    if (has_layer) ++layer;
  }
  std::reverse(items.begin(), items.end());
  // The newest entry is this image, those after it its ancestors as far as they are here.
  std::optional<Image> ancestor = std::move(image);
  for (HistoryItem& item : items) {
    item.id = ancestor->id.str();
    item.tags = ancestor->repo_tags;
    if (!ancestor->parent) break;
    auto parent = get(*ancestor->parent);
    if (!parent) break;
    ancestor = std::move(*parent);
  }
  return items;
}

Result<std::optional<Digest>> ImageStore::tag(const Digest& id, const spec::Reference& reference) {
  if (reference.digest())
    return Error(Kind::InvalidArgument, "refusing to create a tag with a digest reference");
  spec::Reference name = reference.with_default_tag();
  std::lock_guard lock(state_->references);
  TRY(auto row, state_->table.find(id));
  if (!row) return no_such_image(id.str());
  TRY(std::optional<Digest> previous, state_->table.lookup(name));
  TRY(Transaction transaction, database_.begin());
  CHECK(state_->table.set_name(name, id));
  CHECK(state_->table.touch(id, now()));
  CHECK(transaction.commit());
  if (!previous || *previous == id) return std::optional<Digest>();
  TRY(std::vector<spec::Reference> left, state_->table.names_of(*previous));
  if (!left.empty()) return std::optional<Digest>();
  return previous;
}

Lease ImageStore::lease() {
  return Lease(std::make_shared<Lease::State>(state_->leases));
}

std::set<Digest> ImageStore::leased_images() const {
  std::set<Digest> images;
  std::lock_guard lock(state_->leases->mutex);
  for (const Lease::State* lease : state_->leases->held) {
    images.insert(lease->images.begin(), lease->images.end());
  }
  return images;
}

IndexStore& ImageStore::indexes() {
  return state_->indexes;
}

Result<Swept> ImageStore::State::sweep(const InUse& in_use, const SweepScope& scope) {
  TRY(std::set<Digest> released, indexes.release_unnamed());
  GcInput input;
  for (const Layer& layer : snapshotter.layers()) {
    std::optional<Digest> blob;
    if (layer.blob) blob = layer.blob->digest;
    input.layers.push_back({layer.chain_id, layer.parent, std::move(blob)});
  }
  std::map<Digest, uint64_t> blob_sizes;
  TRY(std::vector<BlobInfo> blobs, content.list());
  for (const BlobInfo& blob : blobs) {
    input.blobs.insert(blob.digest);
    blob_sizes.emplace(blob.digest, blob.size);
  }
  input.chain_roots = in_use.chains;
  TRY(std::vector<ImageRow> rows, table.all());
  for (const ImageRow& row : rows) {
    if (row.chain_id) input.chain_roots.insert(*row.chain_id);
    input.blob_roots.insert(row.id);
    if (row.manifest) input.blob_roots.insert(*row.manifest);
  }
  {
    std::lock_guard lock(leases->mutex);
    for (const Lease::State* lease : leases->held) {
      input.chain_roots.insert(lease->chains.begin(), lease->chains.end());
      input.blob_roots.insert(lease->blobs.begin(), lease->blobs.end());
      input.blob_roots.insert(lease->images.begin(), lease->images.end());
    }
  }
  // What went another way may come again, and is new then.
  std::erase_if(left_behind, [&](const Digest& chain) { return !snapshotter.has_layer(chain); });
  if (scope.layers) {
    left_behind.insert(scope.layers->begin(), scope.layers->end());
  } else {
    std::set<Digest> young = snapshotter.layers_younger_than(young_layer_age);
    std::erase_if(young, [&](const Digest& chain) { return left_behind.contains(chain); });
    input.chain_roots.merge(std::move(young));
  }

  Swept swept;
  GcPlan plan = plan_collection(input);
  for (const Digest& chain : plan.layers) {
    if (scope.layers && !scope.layers->contains(chain)) continue;
    auto layer = snapshotter.layer(chain);
    auto removed = snapshotter.remove_layer(chain);
    // A dead layer outside the scope may stand on this one: then both wait for a full collection.
    if (!removed && removed.error().kind() == Kind::WrongState) continue;
    if (!removed) return std::move(removed).error();
    if (layer) swept.bytes += layer->size;
    left_behind.erase(chain);
    swept.layers.push_back(chain);
  }
  if (plan.blobs.empty()) return swept;
  // One transaction from the look to the last removal: nobody comes to hold a blob in between.
  TRY(Transaction transaction, database.begin());
  TRY(std::set<Digest> held, HeldBlobs::all(database));
  for (const Digest& blob : plan.blobs) {
    bool in_scope = !scope.blobs || scope.blobs->contains(blob) || released.contains(blob);
    if (!in_scope || held.contains(blob)) continue;
    CHECK(content.remove(blob));
    swept.bytes += blob_sizes[blob];
  }
  return swept;
}

Result<uint64_t> ImageStore::collect(const InUse& in_use) {
  CHECK(content_.remove_partials());
  std::lock_guard lock(state_->references);
  TRY(Swept swept, state_->sweep(in_use, {}));
  return swept.bytes;
}

Result<ImageUsage> ImageStore::usage() const {
  ImageUsage usage;
  std::map<Digest, Layer> layers;
  for (Layer& layer : snapshotter_.layers()) {
    usage.layers_bytes += layer.size;
    Digest chain = layer.chain_id;
    layers.emplace(std::move(chain), std::move(layer));
  }
  TRY(usage.disk_bytes, snapshotter_.layers_disk_usage());
  TRY(uint64_t content_bytes, content_.disk_usage());
  usage.disk_bytes += content_bytes;

  TRY(std::vector<ImageRow> rows, state_->table.all());
  auto for_each_layer = [&](const ImageRow& row, auto visit) {
    for (auto it = row.chain_id ? layers.find(*row.chain_id) : layers.end(); it != layers.end();
         it = it->second.parent ? layers.find(*it->second.parent) : layers.end()) {
      visit(it->second);
    }
  };
  // Bytes of platforms that are kept and not unpacked.
  TRY(std::set<Digest> foreign, state_->indexes.all_blobs());
  for (const auto& [chain, layer] : layers) {
    if (layer.blob) foreign.erase(layer.blob->digest);
  }
  for (const Digest& blob : foreign) usage.layers_bytes += content_.size(blob).value_or(0);
  std::map<Digest, int> users;
  for (const ImageRow& row : rows) for_each_layer(row, [&](const Layer& layer) { ++users[layer.chain_id]; });
  for (const ImageRow& row : rows) {
    uint64_t& shared = usage.shared_bytes[row.id];
    for_each_layer(row, [&](const Layer& layer) { shared += users[layer.chain_id] > 1 ? layer.size : 0; });
  }
  return usage;
}

}  // namespace berth::storage
