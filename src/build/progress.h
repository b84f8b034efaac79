// What a build tells while it runs: a closed set of events, from which a client's printer makes docker's
// classic lines, a terminal display or nothing. Events come on the loop thread, in order for each step.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "base/digest.h"
#include "spec/dockerfile.h"
#include "spec/dockerfile_checks.h"

namespace berth::build {

enum class OutputStream { Stdout, Stderr };

/// One instruction begins: docker's "Step 3/7 : RUN make". Numbers count from 1 over all stages that are
/// built.
struct StepStarted {
  uint32_t step = 0;
  uint32_t total = 0;
  std::string stage = {};        ///< the stage's name, or its index as text
  std::string instruction = {};  ///< as written, continuation lines joined
  spec::LineRange lines = {};
  bool onbuild = false;   ///< a trigger of the base image
  uint32_t triggers = 0;  ///< FROM: how many such steps follow
};

/// A step whose base image is looked up, which may be a long pull: docker's classic builder names the step
/// first. StepStarted follows once the image is there.
struct StepAwaited {
  uint32_t step = 0;
  uint32_t total = 0;  ///< as far as is known: without the triggers of the image
  std::string instruction = {};
};

/// The step's result was known already: docker's " ---> Using cache".
struct StepCached {
  uint32_t step = 0;
};

/// A RUN is executing: docker's " ---> Running in <id>".
struct StepRunning {
  uint32_t step = 0;
  std::string container_id = {};  ///< 64 hex digits
};

/// Output of a RUN, as it comes; cut off with a note after BuildLimits::max_log_bytes.
struct StepLog {
  uint32_t step = 0;
  OutputStream stream = OutputStream::Stdout;
  std::string bytes = {};
};

/// Bytes on their way: an ADD of a URL, a base image. total 0: unknown.
struct StepTransfer {
  uint32_t step = 0;  ///< 0: before the first step
  std::string what = {};
  uint64_t current = 0;
  uint64_t total = 0;
};

/// The context is fetched from elsewhere. docker's classic builder is silent until it is there, so that what
/// cannot be had is the answer's status.
struct ContextFetching {
  std::string from = {};  ///< without credentials
};

/// docker's " ---> <id>": names the state after the step (the image's id after the last one).
struct StepCompleted {
  uint32_t step = 0;
  std::string id = {};  ///< 64 hex digits; empty for an ARG before the first FROM
  std::chrono::nanoseconds duration{};
};

/// A remark that does not fail the build; lines may be {0, 0}.
struct BuildWarning {
  std::string text = {};
  spec::LineRange lines = {};
  const spec::CheckRule* rule =
      nullptr;                ///< of the check that it comes from, which docker's classic builder lacks
  bool classic_only = false;  ///< a check tells the same
};

/// An image that the Dockerfile names was found: what the build is made of.
struct ImageResolved {
  std::string reference = {};  ///< as the Dockerfile has it, or what a named context means by it
  std::string platform = {};
  Digest id;
  std::optional<Digest> digest = {};  ///< of the manifest or index under which it came; none: made here
};

struct ImageBuilt {
  Digest id;
};

struct ImageTagged {
  std::string reference = {};  ///< familiar: "app:latest"
};

/// The build's end when it failed; Builder::build() returns an Error with the same message.
struct BuildFailed {
  std::string message = {};  ///< docker's words, one line
  int exit_code = 1;         ///< of the RUN that failed, else 1
  std::string file = {};     ///< Dockerfile's name, empty when the failure has no place in it
  spec::LineRange lines = {};
  std::string excerpt = {};  ///< the lines around it, the failed ones marked ">>>"
};

using ProgressEvent =
    std::variant<StepStarted, StepAwaited, StepCached, StepRunning, StepLog, StepTransfer, ContextFetching,
                 StepCompleted, BuildWarning, ImageResolved, ImageBuilt, ImageTagged, BuildFailed>;

class ProgressSink {
 public:
  virtual ~ProgressSink() = default;
  virtual void report(const ProgressEvent& event) = 0;
};

}  // namespace berth::build
