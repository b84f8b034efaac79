// Relay: a client's connection beside the end of a socket pair that gRPC holds. What the client sent before
// it was handed over goes first; when either side ends, so does the other.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "apps/buildkit/http2_guard.h"
#include "base/result.h"
#include "sys/fd.h"

namespace berth::buildkit {

/// Moves bytes both ways on threads of its own until both directions have ended, then calls `ended`. Returns
/// gRPC's end, non-blocking. `sender` is what the client is in HTTP/2; its connection ends when it sends what
/// http2_guard.h refuses.
Result<sys::UniqueFd> start_relay(sys::UniqueFd client, std::string already_read, Http2Guard::Sender sender,
                                  std::function<void()> ended);

/// Blocking copy of one direction until its end, or until `passes` says no of what is to be written; ends
/// `to`'s sending side then. False: `to` could not be written, or is not to be.
bool copy_bytes(int from, int to, const std::function<bool(std::string_view)>& passes = {});

}  // namespace berth::buildkit
