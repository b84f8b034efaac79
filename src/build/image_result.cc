// The image configuration of a build.
#include "build/image_result.h"

#include "base/sha256.h"
#include "build/frontend/history_text.h"

namespace berth::build {

spec::ImageConfig image_config(const ImageContents& contents,
                               const std::function<const RootState&(VertexId)>& result,
                               std::optional<Timestamp> created,
                               const std::function<std::optional<Timestamp>(uint32_t step)>& time_of) {
  spec::ImageConfig config = contents.config;
  config.created = created;
  config.diff_ids = contents.layers;
  for (const PlannedHistory& planned : contents.history) {
    const bool by_buildkit = planned.wording == Wording::BuildKit;
    spec::HistoryEntry entry{.created = time_of(planned.step),
                             .created_by = planned.created_by,
                             .author = config.author,
                             .comment = by_buildkit ? std::string(history_comment) : std::string(),
                             .empty_layer = true};
    if (planned.vertex) {
      const RootState& state = result(*planned.vertex);
      if (planned.behind_sources) entry.created_by += state.sources + *planned.behind_sources;
      entry.empty_layer = !state.made_layer;
      if (state.made_layer) entry.created = state.created;
    }
    config.history.push_back(std::move(entry));
  }
  return config;
}

Digest image_likeness(const ImageContents& contents,
                      const std::function<const RootState&(VertexId)>& result) {
  const auto no_time = [](uint32_t) { return std::optional<Timestamp>(); };
  return sha256("image\n" + spec::serialise(image_config(contents, result, std::nullopt, no_time)));
}

}  // namespace berth::build
