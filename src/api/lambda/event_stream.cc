#include "api/lambda/event_stream.h"

#include <isa-l/crc.h>

#include <cstdint>

namespace berth::api::lambda {
namespace {

constexpr char string_header = 7;

void put32(std::string& out, uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift));
}
void put_header(std::string& out, std::string_view name, std::string_view value) {
  out.push_back(static_cast<char>(name.size()));
  out.append(name);
  out.push_back(string_header);
  out.push_back(static_cast<char>(value.size() >> 8));
  out.push_back(static_cast<char>(value.size()));
  out.append(value);
}
uint32_t crc(std::string_view bytes) {
  return crc32_gzip_refl(0, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
}

}  // namespace

std::string event_frame(std::string_view event_type, std::string_view content_type,
                        std::string_view payload) {
  std::string headers;
  put_header(headers, ":event-type", event_type);
  put_header(headers, ":content-type", content_type);
  put_header(headers, ":message-type", "event");
  std::string frame;
  frame.reserve(16 + headers.size() + payload.size());
  put32(frame, static_cast<uint32_t>(16 + headers.size() + payload.size()));
  put32(frame, static_cast<uint32_t>(headers.size()));
  put32(frame, crc(frame));
  frame.append(headers).append(payload);
  put32(frame, crc(frame));
  return frame;
}

}  // namespace berth::api::lambda
