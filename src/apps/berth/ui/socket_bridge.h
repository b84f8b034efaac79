// SocketBridge: what the engine streams (logs, statistics, events, a terminal) to the page over a WebSocket.
// Browsers open six connections to a server at most; a page with a few streams would have none left for its
// requests. WebSockets do not count.
//
//   page                                 server                          engine
//    | GET, Upgrade: websocket ----------> |  GET .../logs?follow=1 -----> |
//    | <---------- 101                     |                               |
//    | <---------- text {"status":200,...} | <------------------ head      |
//    | <---------- binary                  | <------------------ bytes     |
//    | ----------> binary (terminals only) | ------------------> bytes     |
//
// The first message says what became of the request: {"status":N,"type":"<Content-Type>"} or
// {"status":N,"message":"..."}, after which the socket closes.
#pragma once

#include <cstdint>
#include <string>

#include "apps/berth/client/client.h"
#include "apps/berth/failure.h"
#include "apps/berth/ui/browser_connection.h"

namespace berth::cli::ui {

/// True when the request asks for a WebSocket of version 13.
bool asks_for_websocket(const io::HttpRequestHead& head);
/// Answers the handshake; the subprotocol is "berth".
Result<void> accept_websocket(BrowserConnection& page, const io::HttpRequestHead& head);

/// Passes the answer to `request` on, until either side ends.
Outcome<void> bridge_stream(BrowserConnection& page, client::Client& engine, const client::Request& request);
/// Starts an exec with a terminal of this many rows and columns and passes bytes both ways. When the page
/// goes away, what runs in the terminal gets an interrupt and an end of input, so that no shell stays behind.
struct TerminalSize {
  uint16_t rows = 24, columns = 80;
};
Outcome<void> bridge_terminal(BrowserConnection& page, client::Client& engine, std::string path,
                              TerminalSize size);

}  // namespace berth::cli::ui
