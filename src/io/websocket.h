// The WebSocket protocol's framing (RFC 6455), as far as attach/ws needs it: the handshake's answer, frames
// from a client taken apart, frames for it made. Pure; the bytes come from outside and are bounded.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace berth::io {

/// Sec-WebSocket-Accept for a client's Sec-WebSocket-Key (section 4.2.2).
std::string websocket_accept(std::string_view key);

enum class WebSocketOpcode : uint8_t {
  Continuation = 0,
  Text = 1,
  Binary = 2,
  Close = 8,
  Ping = 9,
  Pong = 10
};

struct WebSocketFrame {
  WebSocketOpcode opcode = WebSocketOpcode::Binary;
  std::string payload;  ///< unmasked
};

/// Takes a client's bytes and gives frames.
class WebSocketReader {
 public:
  /// A frame's payload may be this long.
  static constexpr uint64_t max_payload = uint64_t{1} << 20;

  void push(std::string_view bytes) { buffer_.append(bytes); }
  /// The next whole frame, or nothing until more is pushed. InvalidArgument: not masked, reserved bits or
  /// opcodes, a control frame that is long or in pieces, or a payload over the bound.
  Result<std::optional<WebSocketFrame>> next();

 private:
  std::string buffer_;
};

/// One unfragmented, unmasked frame for a client.
std::string websocket_frame(WebSocketOpcode opcode, std::string_view payload);

}  // namespace berth::io
