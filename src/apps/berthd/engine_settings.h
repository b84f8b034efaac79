// What of berthd's options the engine can be told anew while it runs, and what begins as such.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "apps/berthd/options.h"
#include "base/result.h"
#include "engine/engine.h"

namespace berth::berthd {

/// InvalidArgument names the flag.
Result<engine::EngineSettings> engine_settings(const Options& options);

/// Where CDI specifications are looked for; none where the feature is off.
std::vector<std::string> cdi_directories(const Options& options);

}  // namespace berth::berthd
