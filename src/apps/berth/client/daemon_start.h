// Starting berthd when nobody listens on the default socket.
#pragma once

#include <string>

#include "apps/berth/client/endpoint.h"
#include "base/result.h"

namespace berth::cli::client {

/// Starts berthd (found beside this program, else on PATH) in a session of its own and returns once it
/// serves. Several callers at once are fine: one starts it, the others wait for that one. Readiness comes
/// over a pipe named by the environment variable BERTHD_READY_FD: berthd writes one byte when it serves. When
/// it cannot start, the error carries the last line of its log. An ordinary user gets an engine of his own.
Result<void> start_daemon(const Endpoint& endpoint);

}  // namespace berth::cli::client
