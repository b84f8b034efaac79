// Server: the page's HTTP server on 127.0.0.1. Each connection of a browser has a thread and a client of the
// engine of its own; they end with the program.
#pragma once

#include <cstdint>

#include "apps/berth/client/client.h"
#include "apps/berth/client/endpoint.h"
#include "apps/berth/ui/gate.h"
#include "base/result.h"
#include "sys/fd.h"

namespace berth::cli::ui {

/// What all connections share; constant.
struct Site {
  Gate gate;
  client::Endpoint engine;
  client::Headers headers;  ///< of requests to the engine
};

/// Listens on 127.0.0.1; port 0 lets the kernel choose. AlreadyExists when the port is taken.
Result<sys::UniqueFd> listen_on_loopback(uint16_t port);
Result<uint16_t> port_of(const sys::UniqueFd& listener);

/// Takes one connection that waits and serves it on a thread of its own. `site` must outlive the program's
/// other threads.
void accept_one(const sys::UniqueFd& listener, const Site& site);

}  // namespace berth::cli::ui
