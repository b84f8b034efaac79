// What the classic builder leaves behind: containers of RUNs, to be looked at, started again or committed.
#pragma once

#include <memory>

#include "build/step_keeper.h"
#include "engine/engine.h"

namespace berth::api {

/// rm and forcerm of POST /build. rm: those of steps that succeeded go; forcerm: the others too.
struct StepRemoval {
  bool after_success = true;
  bool always = false;
};

/// Makes containers of the engine; it must outlive the build.
std::shared_ptr<build::StepKeeper> keep_step_containers(engine::Engine& engine, StepRemoval removal,
                                                        std::string network_mode);

}  // namespace berth::api
