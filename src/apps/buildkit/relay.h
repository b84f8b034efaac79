// Relay: a client's connection beside the end of a socket pair that gRPC holds. What the client sent before
// it was handed over goes first; when either side ends, so does the other.
#pragma once

#include <functional>
#include <string>

#include "base/result.h"
#include "sys/fd.h"

namespace berth::buildkit {

/// Moves bytes both ways on threads of its own until both directions have ended, then calls `ended`. Returns
/// gRPC's end, non-blocking.
Result<sys::UniqueFd> start_relay(sys::UniqueFd client, std::string already_read,
                                  std::function<void()> ended);

/// Blocking copy of one direction until its end; ends `to`'s sending side then. False: `to` could not be
/// written.
bool copy_bytes(int from, int to);

}  // namespace berth::buildkit
