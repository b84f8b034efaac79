// The parameters of POST /build as a BuildRequest, and the build's events as docker's classic stream.
#pragma once

#include "api/docker/context.h"
#include "api/docker/json_lines.h"
#include "build/builder.h"

namespace berth::api {

/// Everything but the context. InvalidArgument names the parameter.
Result<build::BuildRequest> parse_build_parameters(Context& context);

/// `cachefrom`, a JSON list of images; none when the list is empty or missing, as docker's command sends it.
Result<std::optional<std::vector<std::string>>> parse_cache_from(Context& context);

/// What is left of a request's body, behind bytes that have been read already, as a build context.
class BodyContext : public build::ContextStream {
 public:
  explicit BodyContext(io::Exchange& exchange, std::string beginning = {})
      : exchange_(exchange), beginning_(std::move(beginning)) {}
  io::Task<Result<std::string>> next() override;

 private:
  io::Exchange& exchange_;
  std::string beginning_;
};

/// Builds until the client goes away; what has been built counts for the storage quota.
io::Task<Result<build::BuildResult>> run_build(Context& context, build::BuildRequest request,
                                               build::ProgressSink& sink);
/// The same where nothing but the outcome is wanted.
io::Task<Result<void>> run_whole_build(Context& context, build::BuildRequest request,
                                       build::ProgressSink& sink);

/// docker's classic builder lines: "Step 1/3 : FROM busybox", " ---> Using cache", "Successfully built <id>".
class ClassicBuildLines : public build::ProgressSink {
 public:
  enum class Verbosity { All, Quiet };
  ClassicBuildLines(JsonLines& lines, Verbosity verbosity) : lines_(lines), verbosity_(verbosity) {}
  void report(const build::ProgressEvent& event) override;
  /// The Dockerfile was read, and an instruction of it could not be done.
  bool failed_at_an_instruction() const { return failed_at_an_instruction_; }

 private:
  void stream(std::string text);
  void tell_step(uint32_t step, uint32_t total, const std::string& instruction);
  void tell_stage_end();
  bool failed_at_an_instruction_ = false;
  JsonLines& lines_;
  Verbosity verbosity_;
  bool steps_begun_ = false;
  uint32_t awaited_ = 0;         ///< the steps up to this one were told before their image was there
  std::string running_in_ = {};  ///< container of the current RUN
  std::string stage_ = {};       ///< of the current step
  std::string last_id_ = {};     ///< of the image after the last step
};

}  // namespace berth::api
