// StepReporter: turns what happens to vertices, several at a time, into the events of steps in the
// Dockerfile's order. What a later step tells is kept until its turn comes.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "build/frontend/plan.h"
#include "build/progress.h"
#include "build/session.h"
#include "build/solver.h"
#include "build/step_images.h"
#include "build/step_keeper.h"

namespace berth::build {

class StepReporter : public SolverObserver, public VertexLog {
 public:
  /// `plan` and `sink` must outlive it.
  StepReporter(const BuildPlan& plan, ProgressSink& sink);

  /// The first steps; call before solving.
  void begin();
  /// The last step ends with the image's id; `is_known`: it was found in the cache, without a vertex.
  void end(const Digest& image, bool is_known = false);
  /// Where the ids of steps come from; without, they are made up.
  void use_images(StepImages* images) { images_ = images; }
  /// Who hears of steps that change the configuration alone; with images.
  void use_keeper(StepKeeper* keeper) { keeper_ = keeper; }

  void started(VertexId id) override;
  void cached(VertexId id) override;
  void completed(VertexId id) override;
  void failed(VertexId id, const Error& error) override;
  void running(uint32_t step, const std::string& container_id) override;
  void output(uint32_t step, OutputStream stream, std::string_view bytes) override;
  void transferred(uint32_t step, const std::string& what, uint64_t current, uint64_t total) override;

  /// The step that failed, if one did.
  const PlannedStep* failed_step() const { return failed_; }

 private:
  struct Progress {
    bool announced = false;
    std::vector<ProgressEvent> waiting;
  };
  void advance();
  uint32_t triggers_after(size_t index) const;
  void announce(size_t index);
  void tell(uint32_t step, ProgressEvent event);
  void complete(size_t index, std::string id);
  std::string id_of(size_t index);
  void tell_passed(const PlannedStep& step, const spec::ImageConfig& config);

  const BuildPlan& plan_;
  ProgressSink& sink_;
  std::vector<Progress> progress_;
  size_t current_ = 0;
  std::map<VertexId, std::chrono::steady_clock::time_point> started_;
  std::map<VertexId, std::chrono::nanoseconds> done_;
  std::string last_id_;
  StepImages* images_ = nullptr;
  StepKeeper* keeper_ = nullptr;
  const PlannedStep* failed_ = nullptr;
};

}  // namespace berth::build
