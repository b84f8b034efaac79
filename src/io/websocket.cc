// Handshake and frames.
#include "io/websocket.h"

#include <array>
#include <bit>

#include "base/bytes.h"
#include "base/format.h"

namespace berth::io {
namespace {

constexpr std::string_view handshake_suffix = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// SHA-1 (FIPS 180-4), which the handshake prescribes; it protects nothing.
class Sha1 {
 public:
  static std::string of(std::string_view text) {
    Sha1 sha;
    std::string padded(text);
    uint64_t bits = uint64_t{text.size()} * 8;
    padded.push_back('\x80');
    while (padded.size() % 64 != 56) padded.push_back('\0');
    for (int shift = 56; shift >= 0; shift -= 8) padded.push_back(static_cast<char>(bits >> shift));
    for (size_t at = 0; at < padded.size(); at += 64) sha.take(std::string_view(padded).substr(at, 64));
    std::string digest;
    for (uint32_t word : sha.state_) {
      for (int shift = 24; shift >= 0; shift -= 8) digest.push_back(static_cast<char>(word >> shift));
    }
    return digest;
  }

 private:
  void take(std::string_view block) {
    std::array<uint32_t, 80> words{};
    for (size_t i = 0; i < 64; ++i) {
      words[i / 4] |= uint32_t{static_cast<unsigned char>(block[i])} << (24 - 8 * (i % 4));
    }
    for (size_t i = 16; i < 80; ++i) {
      words[i] = std::rotl(words[i - 3] ^ words[i - 8] ^ words[i - 14] ^ words[i - 16], 1);
    }
    auto [a, b, c, d, e] = state_;
    for (size_t i = 0; i < 80; ++i) {
      uint32_t mixed = 0;
      uint32_t constant = 0;
      if (i < 20) {
        mixed = (b & c) | (~b & d);
        constant = 0x5a827999;
      } else if (i < 40) {
        mixed = b ^ c ^ d;
        constant = 0x6ed9eba1;
      } else if (i < 60) {
        mixed = (b & c) | (b & d) | (c & d);
        constant = 0x8f1bbcdc;
      } else {
        mixed = b ^ c ^ d;
        constant = 0xca62c1d6;
      }
      uint32_t next = std::rotl(a, 5) + mixed + e + constant + words[i];
      e = d;
      d = c;
      c = std::rotl(b, 30);
      b = a;
      a = next;
    }
    state_ = {state_[0] + a, state_[1] + b, state_[2] + c, state_[3] + d, state_[4] + e};
  }
  std::array<uint32_t, 5> state_ = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
};

bool is_known(uint8_t opcode) {
  return opcode <= 2 || (opcode >= 8 && opcode <= 10);
}

uint64_t big_endian(std::string_view bytes) {
  uint64_t value = 0;
  for (char c : bytes) value = value << 8 | static_cast<unsigned char>(c);
  return value;
}

}  // namespace

std::string websocket_accept(std::string_view key) {
  return to_base64(Sha1::of(std::string(key).append(handshake_suffix)));
}

Result<std::optional<WebSocketFrame>> WebSocketReader::next() {
  auto refuse = [](std::string_view why) { return failure(Kind::InvalidArgument, "websocket: {}", why); };
  if (buffer_.size() < 2) return std::optional<WebSocketFrame>();
  auto first = static_cast<uint8_t>(buffer_[0]);
  auto second = static_cast<uint8_t>(buffer_[1]);
  uint8_t opcode = first & 0x0f;
  bool is_final = (first & 0x80) != 0;
  bool is_control = opcode >= 8;
  if ((first & 0x70) != 0 || !is_known(opcode)) return refuse("a frame with reserved bits or opcode");
  if ((second & 0x80) == 0) return refuse("a client's frame must be masked");
  uint64_t length = second & 0x7f;
  if (is_control && (length > 125 || !is_final)) return refuse("a control frame that is long or in pieces");
  size_t wide = length == 126 ? 2 : length == 127 ? 8 : 0;
  size_t head = 2 + wide + 4;
  if (buffer_.size() < head) return std::optional<WebSocketFrame>();
  std::string_view bytes = buffer_;
  if (wide > 0) length = big_endian(bytes.substr(2, wide));
  if (length > max_payload) return refuse(fmt::format("a frame of {} bytes is too long", length));
  if (buffer_.size() - head < length) return std::optional<WebSocketFrame>();
  WebSocketFrame frame{static_cast<WebSocketOpcode>(opcode), std::string(bytes.substr(head, length))};
  std::string_view mask = bytes.substr(2 + wide, 4);
  for (size_t i = 0; i < frame.payload.size(); ++i) {
    frame.payload[i] = static_cast<char>(frame.payload[i] ^ mask[i % 4]);
  }
  buffer_.erase(0, head + length);
  return std::optional<WebSocketFrame>(std::move(frame));
}

std::string websocket_frame(WebSocketOpcode opcode, std::string_view payload) {
  std::string frame;
  frame.reserve(payload.size() + 10);
  frame.push_back(static_cast<char>(0x80 | static_cast<uint8_t>(opcode)));
  auto append_length = [&](int bytes) {
    for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) {
      frame.push_back(static_cast<char>(uint64_t{payload.size()} >> shift));
    }
  };
  if (payload.size() < 126) {
    frame.push_back(static_cast<char>(payload.size()));
  } else if (payload.size() <= UINT16_MAX) {
    frame.push_back(126);
    append_length(2);
  } else {
    frame.push_back(127);
    append_length(8);
  }
  return frame.append(payload);
}

}  // namespace berth::io
