// Counting who stands on what.
#include "storage/image_tree.h"

#include <algorithm>
#include <map>
#include <set>

namespace berth::storage {
namespace {

class Counting {
 public:
  Counting(ImageStore& images, const std::set<Digest>& held, const InUse& in_use)
      : images_(images), held_(held), in_use_(in_use) {}

  Result<LayerTree> run() {
    for (Layer& layer : images_.snapshotter().layers()) {
      Digest chain = layer.chain_id;
      layers_.emplace(std::move(chain), std::move(layer));
    }
    TRY(std::vector<Image> all, images_.list(true));
    for (const Image& image : all) {
      mark(image.chain_id, true);
      if (image.parent) ++children_[*image.parent];
      if (image.manifest) ++documents_[*image.manifest];
    }
    for (const Digest& chain : in_use_.chains) mark(chain, false);
    LayerTree tree;
    for (const auto& [chain, layer] : layers_) add_layer(tree, chain);
    for (const Image& image : all) tree.images.push_back(describe(image));
    std::stable_sort(tree.images.begin(), tree.images.end(),
                     [](const TreeImage& a, const TreeImage& b) { return a.names < b.names; });
    return tree;
  }

 private:
  /// One more root stands on these layers; images are told apart from containers and the build cache.
  void mark(const std::optional<Digest>& top, bool is_image) {
    for (std::optional<Digest> chain = top; chain;) {
      auto layer = layers_.find(*chain);
      if (layer == layers_.end()) return;
      ++roots_[*chain];
      if (is_image) ++image_roots_[*chain];
      if (layer->second.blob) ++blob_roots_[layer->second.blob->digest];
      chain = layer->second.parent;
    }
  }

  void add_layer(LayerTree& tree, const Digest& chain) {
    if (!placed_.insert(chain).second) return;
    const Layer& layer = layers_.at(chain);
    if (layer.parent && layers_.contains(*layer.parent)) add_layer(tree, *layer.parent);
    uint64_t blob_bytes = layer.blob ? layer.blob->size : 0;
    tree.layers_bytes += layer.size + blob_bytes;
    tree.layers.push_back({.chain_id = chain,
                           .diff_id = layer.diff_id,
                           .parent = layer.parent,
                           .size = layer.size,
                           .blob_bytes = blob_bytes,
                           .images = image_roots_[chain]});
  }

  TreeImage describe(const Image& image) {
    TreeImage result{.id = image.id,
                     .names = image.repo_tags.empty() ? image.repo_digests : image.repo_tags,
                     .chain_id = image.chain_id,
                     .size = image.size,
                     .frees = document_bytes(image)};
    for (std::optional<Digest> chain = image.chain_id; chain;) {
      auto layer = layers_.find(*chain);
      if (layer == layers_.end()) break;
      if (roots_[*chain] == 1) result.frees += layer->second.size;
      const auto& blob = layer->second.blob;
      if (blob && blob_roots_[blob->digest] == 1 && !held_.contains(blob->digest)) result.frees += blob->size;
      chain = layer->second.parent;
    }
    result.containers = static_cast<size_t>(
        std::count_if(in_use_.images.begin(), in_use_.images.end(),
                      [&](const ImageUse& use) { return use.image == image.id; }));
    result.children = children_[image.id];
    return result;
  }

  uint64_t document_bytes(const Image& image) {
    uint64_t bytes = 0;
    if (auto size = images_.content().size(image.id); size && !held_.contains(image.id)) bytes += *size;
    if (!image.manifest || held_.contains(*image.manifest) || documents_[*image.manifest] > 1) return bytes;
    if (auto size = images_.content().size(*image.manifest)) bytes += *size;
    return bytes;
  }

  ImageStore& images_;
  const std::set<Digest>& held_;
  const InUse& in_use_;
  std::map<Digest, Layer> layers_;
  std::map<Digest, size_t> roots_;        ///< images, containers, cache entries on a layer
  std::map<Digest, size_t> image_roots_;  ///< images on it
  std::map<Digest, size_t> blob_roots_;
  std::map<Digest, size_t> documents_;
  std::map<Digest, size_t> children_;
  std::set<Digest> placed_;
};

}  // namespace

Result<LayerTree> layer_tree(ImageStore& images, const std::set<Digest>& held, const InUse& in_use) {
  return Counting(images, held, in_use).run();
}

}  // namespace berth::storage
