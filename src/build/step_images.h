// StepImages: the images that docker's classic builder leaves for every step, each standing on the one
// before. An id is known when its step ends; the images are written together when the build does. Internal to
// build/.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/digest.h"
#include "base/result.h"
#include "build/frontend/plan.h"
#include "build/image_result.h"
#include "build/reusable_images.h"
#include "build/solver.h"
#include "storage/image_store.h"

namespace berth::build {

class StepImages {
 public:
  struct Options {
    ReusableImages* reusable = nullptr;   ///< none: every step is done
    std::optional<Timestamp> epoch = {};  ///< instead of the time of the day
    bool has_labels = false;              ///< the request adds some to the build's image
  };
  struct Outcome {
    std::string id;           ///< 64 hex digits
    bool was_cached = false;  ///< a step that changes the configuration alone, and is known
  };
  using ResultOf = std::function<const RootState&(VertexId)>;

  /// All but the options must outlive it.
  StepImages(const BuildPlan& plan, ResultOf result, storage::ImageStore& images, Options options);

  /// Whether what is remembered of a vertex may be used: the image that it would give is here.
  bool has_image_of(VertexId vertex, const RootState& remembered);

  /// The image of plan.steps[index], which has ended, as have those before it. None where the plan has none.
  std::optional<Outcome> complete(size_t index);
  struct Final {
    Digest id;
    std::optional<storage::NewImage> image = {};  ///< to be written; none: `id` is that of FROM
    bool was_cached = false;
  };
  /// The same for the last step, with the plan's configuration: the build's own image, without its names.
  /// None where the plan has no image for it.
  Result<std::optional<Final>> finish();
  /// After a failure: the images of steps that were done, and not told of.
  void complete_rest(const std::function<bool(VertexId)>& is_done);
  /// The image below a step; none: an empty root.
  std::optional<Digest> below(uint32_t step) const;

  /// What is to be written, in order; once.
  Result<std::vector<storage::NewImage>> take();

 private:
  struct Made {
    Digest id;
    storage::NewImage image;
    bool was_cached = false;
  };
  static bool is_from(const PlannedStep& step);
  std::optional<Digest> existing_id(const PlannedStep& step) const;
  Result<Made> make(const PlannedStep& step);
  const spec::ImageConfig& config_of(const PlannedStep& step) const;
  std::pair<Timestamp, bool> time_of(const PlannedStep& step, const RootState& root,
                                     const ImageContents& contents);
  Result<void> read_layers(const std::optional<Digest>& chain_id);

  const BuildPlan& plan_;
  ResultOf result_;
  storage::ImageStore& images_;
  Options options_;
  std::map<uint32_t, Digest> ids_;
  std::map<uint32_t, Timestamp> times_;
  std::vector<storage::NewImage> pending_;
  std::optional<Error> error_;
  std::optional<Digest> layers_of_;
  std::vector<Digest> layers_;
};

}  // namespace berth::build
