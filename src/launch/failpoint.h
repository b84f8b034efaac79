// Failpoints: tests let one point of a launch fail and look whether anything stays behind. Inert unless the
// program was started with BERTH_FAILPOINT_FILE in its environment, which names a file of its owner with one
// line: the name of the point that is to fail, or "step:<n>" for the n-th step of the next plan.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace berth::launch {

/// Internal "failpoint <name>" when this is the point that is to fail.
Result<void> failpoint(std::string_view name);
/// The step of a plan that is to fail, for KeeperSetup::fail_at; 0: none.
uint16_t failing_step();

}  // namespace berth::launch
