// Tests of the WebSocket framing.
#include "io/websocket.h"

#include <gtest/gtest.h>

namespace berth::io {
namespace {

TEST(WebSocket, AnswersTheHandshakeOfTheSpecification) {
  EXPECT_EQ(websocket_accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

TEST(WebSocket, UnmasksInPieces) {
  // RFC 6455, section 5.7: a masked text message "Hello".
  const std::string wire("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11);
  WebSocketReader reader;
  for (size_t i = 0; i + 1 < wire.size(); ++i) {
    reader.push(wire.substr(i, 1));
    EXPECT_FALSE(reader.next().value().has_value());
  }
  reader.push(wire.substr(wire.size() - 1));
  auto frame = reader.next().value().value();
  EXPECT_EQ(frame.opcode, WebSocketOpcode::Text);
  EXPECT_EQ(frame.payload, "Hello");
}

TEST(WebSocket, RefusesWhatNoClientMaySend) {
  for (const std::string& wire : {std::string("\x82\x01x", 3),         // not masked
                                  std::string("\xf2\x80\0\0\0\0", 6),  // reserved bits
                                  std::string("\x83\x80\0\0\0\0", 6),  // reserved opcode
                                  std::string("\x09\x80\0\0\0\0", 6),  // a ping in pieces
                                  std::string("\x82\xff\x7f\0\0\0\0\0\0\0\0\0\0\0", 14)}) {  // far too long
    WebSocketReader reader;
    reader.push(wire);
    EXPECT_FALSE(reader.next().has_value());
  }
}

TEST(WebSocket, MakesFramesOfEachLength) {
  EXPECT_EQ(websocket_frame(WebSocketOpcode::Binary, "ab"), std::string("\x82\x02"
                                                                        "ab",
                                                                        4));
  std::string medium = websocket_frame(WebSocketOpcode::Binary, std::string(300, 'x'));
  EXPECT_EQ(medium.substr(0, 4), std::string("\x82\x7e\x01\x2c", 4));
  std::string large = websocket_frame(WebSocketOpcode::Binary, std::string(70000, 'x'));
  EXPECT_EQ(large.substr(0, 10), std::string("\x82\x7f\0\0\0\0\0\x01\x11\x70", 10));
}

}  // namespace
}  // namespace berth::io
