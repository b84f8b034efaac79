// From a parsed Dockerfile to a BuildPlan: the graph, the image's configuration and history, and the steps
// that a user sees. Pure: what is known of base images is given; what is missing is asked for.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/digest.h"
#include "build/graph.h"
#include "spec/dockerfile.h"
#include "spec/image.h"

namespace berth::build {

struct PlanOptions {
  std::map<std::string, std::optional<std::string>> build_args = {};
  std::map<std::string, std::string> labels = {};
  std::string target = {};
  spec::Platform platform;  ///< wanted
  StepNetwork network = StepNetwork::Bridge;
  std::vector<std::string> extra_hosts = {};
  Caching caching = Caching::Normal;
  bool step_images = false;  ///< PlannedStep::image is wanted
};

/// An image that the Dockerfile names, and for what platform.
struct ImageName {
  std::string reference;
  std::string platform;
  auto operator<=>(const ImageName&) const = default;
};
struct ImageFacts {
  Digest id;
  std::optional<Digest> chain_id;
  std::shared_ptr<const spec::ImageConfig> config;
};
using KnownImages = std::map<ImageName, ImageFacts>;

/// Who words the history.
enum class Wording { BuildKit, Classic };

/// One entry of the new image's history. A vertex that makes no layer leaves an empty one.
struct PlannedHistory {
  std::string created_by;
  std::optional<VertexId> vertex = {};
  uint32_t step = 0;  ///< that adds it
  Wording wording = Wording::BuildKit;
  /// Of a copy in the classic builder's words: what follows `created_by` and VertexReads::sources.
  std::optional<std::string> behind_sources = {};
};

/// The image that there is after a step.
struct StepImage {
  // FROM: an image that is there already, and nothing else of this.
  std::optional<Digest> existing = {};  ///< that image
  uint32_t same_as = 0;                 ///< number of the step whose image it is: the last one of a stage
  spec::ImageConfig config = {};        ///< as BuildPlan has it
  std::vector<PlannedHistory> history = {};
  VertexId rootfs = 0;
  uint32_t previous = 0;  ///< number of the step whose image this one stands on; 0: none
};

/// One instruction as progress shows it.
struct PlannedStep {
  uint32_t number = 0;
  std::string stage = {};
  std::string instruction = {};
  spec::LineRange lines = {};
  bool onbuild = false;
  std::optional<VertexId> vertex = {};  ///< none: it changes the configuration alone
  /// Where PlanOptions::step_images is set, unless the images of very long files would fill the memory.
  std::shared_ptr<const StepImage> image = {};
};

struct BuildPlan {
  Graph graph;
  VertexId target = 0;
  spec::ImageConfig
      config;  ///< with the base's history; created, diff_ids and what `history` adds come at the end
  std::vector<PlannedHistory> history;
  std::vector<PlannedStep> steps;
  std::vector<spec::DockerfileWarning> warnings;
};

struct MissingImage {
  ImageName name;
  spec::LineRange lines;
  bool by_from_flag = false;  ///< --from, not FROM
};

/// Either the plan or the images that must be looked up before there can be one.
using PlanOutcome = std::variant<BuildPlan, std::vector<MissingImage>>;

spec::DockerfileResult<PlanOutcome> plan_build(const spec::Dockerfile& file, const PlanOptions& options,
                                               const KnownImages& images);

}  // namespace berth::build
