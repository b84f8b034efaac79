// TLS to an engine at tcp://: shakes hands here, then leaves the encryption to a process of its own, so that
// every command goes on reading and writing an ordinary socket.
#pragma once

#include <string>

#include "apps/berth/client/endpoint.h"
#include "base/result.h"
#include "sys/fd.h"

namespace berth::cli::client {

/// Returns the plain end of the connection. Unauthenticated when one side does not trust the other; a file
/// that cannot be used is named.
Result<sys::UniqueFd> start_tls(sys::UniqueFd socket, const std::string& host, const TlsFiles& files);

}  // namespace berth::cli::client
