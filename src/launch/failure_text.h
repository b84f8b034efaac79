// Launch failures in the words that docker's clients know: they look for "executable file not found", "no
// such file or directory" (exit code 127) and "permission denied" (126).
#pragma once

#include "launch/keeper.h"
#include "launch/keeper_protocol.h"

namespace berth::launch {

/// Pure.
LaunchFailure describe_failure(const notice::Failed& failed);

}  // namespace berth::launch
