// StepKeeper: who hears of the sandboxes of RUNs, and takes over those that are to stay behind, as docker's
// classic builder has containers for steps and leaves those of failed builds. This folder knows of no
// containers; the caller makes them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/digest.h"
#include "base/result.h"
#include "build/step_runner.h"
#include "io/task.h"
#include "spec/image.h"

namespace berth::build {

/// A RUN that has ended.
struct KeptStep {
  StepRequest request;  ///< what it was run with; `root` is no longer mounted
  StepOutcome outcome;
  std::optional<Digest> image = {};     ///< that it ran on; none: an empty root
  std::optional<Digest> chain_id = {};  ///< of its root filesystem, below `upper`
  std::string upper = {};               ///< what it wrote beyond that, to be moved away; empty: nothing
  Timestamp started = {};
  Timestamp finished = {};
};

class StepKeeper {
 public:
  virtual ~StepKeeper() = default;
  /// A RUN begins; `image`: that it runs on, where that is known.
  virtual void began(const StepRequest& request, const std::optional<Digest>& image) = 0;
  /// It has ended. No outcome: it did not come to its end, and is gone.
  virtual void ended(const std::string& id, const std::optional<StepOutcome>& outcome) = 0;
  /// A step that changes the configuration alone is done, and was not remembered: docker makes a container
  /// with that configuration, which never runs, for the step's image. `image`: as with began().
  virtual void passed(const spec::ImageConfig& config, const std::optional<Digest>& image) = 0;
  /// Whether a step that ended so is kept.
  virtual bool wants(const StepOutcome& outcome) const = 0;
  /// Once the images of the build's steps are there. A step that cannot be kept does not fail the build.
  virtual io::Task<Result<void>> keep(KeptStep step) = 0;
};

}  // namespace berth::build
