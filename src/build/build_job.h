// BuildJob: one build from its request to its image. Internal to build/.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "build/builder.h"
#include "build/cache.h"
#include "build/cache_mounts.h"
#include "build/context_source.h"
#include "build/frontend/plan.h"
#include "build/reusable_images.h"
#include "build/session.h"
#include "build/step_images.h"
#include "io/cancel.h"

namespace berth::build {

struct BuildJobServices {
  const BuilderServices& shared;
  Cache& cache;
  CacheMounts& mounts;
};

class BuildJob {
 public:
  BuildJob(BuildJobServices services, BuildRequest request, ProgressSink& progress, io::CancelToken cancel);
  ~BuildJob();

  /// Reports everything, a failure included; the Error carries file, line and instruction in one line.
  io::Task<Result<BuildResult>> run();
  /// Its directory, to be removed afterwards.
  const std::string& scratch() const { return scratch_; }

 private:
  Result<void> check_request();
  io::Task<Result<BuildResult>> build();
  io::Task<Result<void>> load();
  Result<void> read_dockerfile(LoadedContext& context);
  io::Task<Result<void>> make_plan();
  Result<void> warn();
  void tell_awaited(const std::vector<MissingImage>& missing);
  io::Task<Result<void>> resolve_images(std::vector<MissingImage> missing);
  io::Task<Result<void>> solve();
  io::Task<Result<Digest>> make_image();
  io::Task<Result<Digest>> squash(Digest image);
  std::vector<spec::Reference> own_tags() const;
  io::Task<Result<Timestamp>> creation_time(Digest likeness);
  io::Task<Result<Digest>> write_last(StepImages::Final last);
  static std::vector<Digest> layers_of(const std::vector<storage::Layer>& chain);
  void find_reusable_images();
  std::function<bool(VertexId, const RootState&)> may_use();
  Result<void> use_step_images();
  io::Task<void> leave_steps();
  std::vector<SharedStep> shared_steps() const;
  Error located(Error error, spec::LineRange lines, std::string instruction);

  BuildJobServices services_;
  BuildRequest request_;
  ProgressSink& progress_;
  io::CancelToken cancel_;
  std::string scratch_;

  std::vector<spec::Reference> tags_;
  PlanOptions options_;
  std::string network_name_;
  std::shared_ptr<IndexTree> context_;
  std::string dockerfile_name_;
  std::string dockerfile_text_;
  std::optional<spec::Dockerfile> dockerfile_;
  KnownImages images_;
  std::optional<BuildPlan> plan_;
  storage::Lease lease_;
  struct Solved;
  std::unique_ptr<Solved> solved_;
  std::optional<StepRecord> image_record_;
  std::optional<ReusableImages> reusable_;
  // Where the failure is, for BuildFailed.
  spec::LineRange failed_lines_;
  std::string failed_message_;
  int exit_code_ = 1;
};

}  // namespace berth::build
