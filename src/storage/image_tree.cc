// Counting who stands on what.
#include "storage/image_tree.h"

#include <algorithm>
#include <map>
#include <set>

#include "storage/index_store.h"

namespace berth::storage {
namespace {

class Counting {
 public:
  Counting(ImageStore& images, const InUse& in_use) : images_(images), in_use_(in_use) {}

  Result<LayerTree> run() {
    for (Layer& layer : images_.snapshotter().layers()) {
      Digest chain = layer.chain_id;
      layers_.emplace(std::move(chain), std::move(layer));
    }
    TRY(held_, images_.indexes().held_by_others());
    TRY(std::vector<Image> all, images_.list(true));
    for (const Image& image : all) CHECK(note(image));
    for (const Digest& chain : in_use_.chains) note_chain(chain, next_user_++);
    LayerTree tree;
    for (const auto& [chain, layer] : layers_) add_layer(tree, chain);
    for (size_t i = 0; i < all.size(); ++i) tree.images.push_back(describe(all[i], i));
    std::stable_sort(tree.images.begin(), tree.images.end(),
                     [](const TreeImage& a, const TreeImage& b) { return a.names < b.names; });
    return tree;
  }

 private:
  /// Users are images, in the order of the list, and after them containers and entries of the build cache.
  Result<void> note(const Image& image) {
    size_t user = next_user_++;
    note_chain(image.chain_id, user);
    for (std::optional<Digest> chain = image.chain_id; chain; chain = parent_of(*chain))
      ++image_roots_[*chain];
    blob_users_[image.id].insert(user);
    if (image.manifest) blob_users_[*image.manifest].insert(user);
    if (image.parent) ++children_[*image.parent];
    TRY(auto index, images_.indexes().of_names(image.repo_digests));
    if (!index) return {};
    TRY(std::set<Digest> kept, images_.indexes().blobs(index->digest));
    for (const Digest& blob : kept) blob_users_[blob].insert(user);
    return {};
  }

  void note_chain(const std::optional<Digest>& top, size_t user) {
    for (std::optional<Digest> chain = top; chain; chain = parent_of(*chain)) {
      auto layer = layers_.find(*chain);
      if (layer == layers_.end()) return;
      layer_users_[*chain].insert(user);
      if (layer->second.blob) blob_users_[layer->second.blob->digest].insert(user);
    }
  }

  std::optional<Digest> parent_of(const Digest& chain) const {
    auto layer = layers_.find(chain);
    return layer == layers_.end() ? std::nullopt : layer->second.parent;
  }

  void add_layer(LayerTree& tree, const Digest& chain) {
    // Parents first; a chain may be hundreds deep, so no recursion.
    std::vector<Digest> missing;
    for (std::optional<Digest> next = chain; next && layers_.contains(*next) && placed_.insert(*next).second;
         next = parent_of(*next)) {
      missing.push_back(*next);
    }
    for (auto next = missing.rbegin(); next != missing.rend(); ++next) {
      const Layer& layer = layers_.at(*next);
      uint64_t blob_bytes = layer.blob ? layer.blob->size : 0;
      tree.layers_bytes += layer.size + blob_bytes;
      tree.layers.push_back({.chain_id = *next,
                             .diff_id = layer.diff_id,
                             .parent = layer.parent,
                             .size = layer.size,
                             .blob_bytes = blob_bytes,
                             .images = image_roots_[*next]});
    }
  }

  TreeImage describe(const Image& image, size_t user) {
    TreeImage result{.id = image.id,
                     .names = image.repo_tags.empty() ? image.repo_digests : image.repo_tags,
                     .chain_id = image.chain_id,
                     .size = image.size};
    for (std::optional<Digest> chain = image.chain_id; chain; chain = parent_of(*chain)) {
      auto layer = layers_.find(*chain);
      if (layer == layers_.end()) break;
      if (layer_users_[*chain].size() == 1) result.frees += layer->second.size;
    }
    for (const auto& [blob, users] : blob_users_) {
      bool own = users.size() == 1 && *users.begin() == user && !held_.contains(blob);
      if (own) result.frees += images_.content().size(blob).value_or(0);
    }
    result.containers =
        static_cast<size_t>(std::count_if(in_use_.images.begin(), in_use_.images.end(),
                                          [&](const ImageUse& use) { return use.image == image.id; }));
    result.children = children_[image.id];
    return result;
  }

  ImageStore& images_;
  const InUse& in_use_;
  std::map<Digest, Layer> layers_;
  std::set<Digest> held_;  ///< by repositories of the registry
  size_t next_user_ = 0;
  std::map<Digest, std::set<size_t>> layer_users_;
  std::map<Digest, std::set<size_t>> blob_users_;
  std::map<Digest, size_t> image_roots_;  ///< images on a layer
  std::map<Digest, size_t> children_;
  std::set<Digest> placed_;
};

}  // namespace

Result<LayerTree> layer_tree(ImageStore& images, const InUse& in_use) {
  return Counting(images, in_use).run();
}

}  // namespace berth::storage
