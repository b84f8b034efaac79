// What a function's version means as a container: environment, program, limits, mounts. Pure but for looking
// whether a zip or a layer has a `bootstrap`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/sandboxes.h"
#include "functions/model.h"
#include "functions/runtimes/runtime_bases.h"
#include "functions/sandbox/web_events.h"

namespace berth::functions {

/// AWS's user of sandboxes, by number: images need no entry for it.
constexpr uint32_t kSandboxUid = 993, kSandboxGid = 990;
constexpr uint16_t kRuntimeApiPort = 9001;
/// By how much a group's limit exceeds the memory size where the limit follows /tmp (memory.cc).
constexpr uint64_t kMemorySlack = 48u << 20;

/// One sandbox to be.
struct SandboxPlan {
  FunctionVersionPtr function;
  RuntimeBase base;  ///< of zips; for images: image and image_id alone
  std::string log_group;
  std::string log_stream;
  std::string initialization = "on-demand";  ///< or "provisioned-concurrency"
  uint16_t endpoint_port = 0;                ///< 0: no AWS_ENDPOINT_URL
  std::string network = "bridge";
  LimitProfile limits = LimitProfile::Open;
  std::string container_name;
  WebServer web = {};               ///< of an image without a Lambda runtime
  std::string web_fault = {};       ///< why that cannot be told; empty: it can
  bool memory_follows_tmp = false;  ///< the host can tell when a group nears its limit
};

std::string log_group_of(const FunctionVersion& function);

/// "NAME=value", AWS's reserved variables last so that they win.
std::vector<std::string> sandbox_environment(const SandboxPlan& plan);

/// The program and its arguments; empty: the image's own entrypoint with `command`.
struct SandboxProgram {
  std::vector<std::string> entry_point;
  std::vector<std::string> command;
};
/// InvalidArgument with AWS's words ("Couldn't find valid bootstrap(s): [...]") when a zip has none.
Result<SandboxProgram> sandbox_program(const SandboxPlan& plan);

/// Everything but the wiring.
Result<engine::SandboxRequest> plan_sandbox(const SandboxPlan& plan);

}  // namespace berth::functions
