// Squashing.
#include "build/squash.h"

#include "base/format.h"
#include "storage/layer_merge.h"

namespace berth::build {

Result<Digest> squash_image(storage::ImageStore& images, const Digest& image, const SquashBase& base,
                            Timestamp created, std::vector<spec::Reference> tags, std::stop_token stop) {
  TRY(auto original, images.get(image));
  TRY(auto layer, storage::merge_layers(images.snapshotter(), original.chain_id, base.chain_id, stop));
  spec::ImageConfig config = *original.config;
  config.created = created;
  config.diff_ids.clear();
  TRY(auto chain, images.snapshotter().chain(layer.chain_id));
  for (auto each = chain.rbegin(); each != chain.rend(); ++each) config.diff_ids.push_back(each->diff_id);
  for (size_t i = base.history; i < config.history.size(); ++i) config.history[i].empty_layer = true;
  // In docker's words.
  config.history.push_back({.created = created,
                            .comment = base.image
                                           ? fmt::format("merge {} to {}", image.str(), base.image->str())
                                           : fmt::format("create new from {}", image.str())});
  return images.create({.config = std::move(config), .chain_id = layer.chain_id, .tags = std::move(tags)});
}

}  // namespace berth::build
