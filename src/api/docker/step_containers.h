// What the classic builder leaves behind: containers of RUNs, to be looked at, started again or committed.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "build/step_keeper.h"
#include "engine/engine.h"

namespace berth::api {

/// rm and forcerm of POST /build. rm: those of steps that succeeded go; forcerm: the others too.
struct StepRemoval {
  bool after_success = true;
  bool always = false;
};

/// What the containers have of the request.
struct StepContainerSettings {
  std::string network_mode = {};
  std::map<std::string, std::string> labels = {};  ///< so that they are found by them, as docker's are
};

/// Makes containers of the engine; it must outlive the build.
std::shared_ptr<build::StepKeeper> keep_step_containers(engine::Engine& engine, StepRemoval removal,
                                                        StepContainerSettings settings);

}  // namespace berth::api
