// The image configuration of a build.
#include "build/image_result.h"

#include "build/frontend/history_text.h"

namespace berth::build {

spec::ImageConfig image_config(const BuildPlan& plan, const std::vector<Digest>& layers,
                               const std::function<const RootState&(VertexId)>& result,
                               std::optional<Timestamp> created) {
  spec::ImageConfig config = plan.config;
  config.created = created;
  config.diff_ids = layers;
  for (const auto& [created_by, vertex] : plan.history) {
    spec::HistoryEntry entry{.created = created,
                             .created_by = created_by,
                             .author = config.author,
                             .comment = std::string(history_comment),
                             .empty_layer = true};
    if (vertex) {
      const RootState& state = result(*vertex);
      entry.empty_layer = !state.made_layer;
      if (state.made_layer) entry.created = state.created;
    }
    config.history.push_back(std::move(entry));
  }
  return config;
}

}  // namespace berth::build
