// Routes: what of the engine's API the page may reach, and nothing else: it looks, it starts and stops, it
// removes, it opens terminals. It cannot create a container, so it mounts nothing of the host. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "io/http_message.h"

namespace berth::cli::ui {

/// How an answer reaches the page.
enum class Carriage {
  Whole,     ///< one request, one answer
  Stream,    ///< a GET whose answer comes piece by piece, over a WebSocket
  Terminal,  ///< a hijacked connection, over a WebSocket
};

struct EngineRoute {
  Carriage carriage = Carriage::Whole;
  std::string path;  ///< for the engine, percent-encoded anew
};

/// `path` is decoded and begins with the slash after /api or /stream. Nothing: the page has no such right.
std::optional<EngineRoute> find_engine_route(std::string_view method, std::string_view path,
                                             bool over_websocket);

}  // namespace berth::cli::ui
