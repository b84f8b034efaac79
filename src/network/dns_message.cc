// DNS messages.
#include "network/dns_message.h"

#include <algorithm>
#include <charconv>
#include <cstring>

namespace berth::network {
namespace {

constexpr uint16_t kResponse = 0x8000;
constexpr uint16_t kOpcodeMask = 0x7800;
constexpr uint16_t kAuthoritative = 0x0400;
constexpr uint16_t kRecursionDesired = 0x0100;
constexpr uint16_t kRecursionAvailable = 0x0080;
constexpr uint16_t kInternet = 1;
constexpr uint32_t kTimeToLive = 600;
constexpr uint16_t kNamePointer = 0xc00c;  ///< the question's name, right behind the header
constexpr size_t kMaxAnswers = 16;         ///< keeps a reply within 512 bytes

uint16_t load16(std::string_view message, size_t at) {
  return static_cast<uint16_t>(static_cast<uint8_t>(message[at]) << 8 |
                               static_cast<uint8_t>(message[at + 1]));
}

void store16(std::string& message, size_t at, uint16_t value) {
  message[at] = static_cast<char>(value >> 8);
  message[at + 1] = static_cast<char>(value & 0xff);
}

void append16(std::string& message, uint16_t value) {
  message += static_cast<char>(value >> 8);
  message += static_cast<char>(value & 0xff);
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

std::string encode_name(std::string_view name) {
  std::string encoded;
  while (!name.empty()) {
    size_t dot = std::min(name.find('.'), name.size());
    std::string_view label = name.substr(0, std::min<size_t>(dot, 63));
    if (!label.empty()) {
      encoded += static_cast<char>(label.size());
      encoded += label;
    }
    name.remove_prefix(std::min(dot + 1, name.size()));
  }
  encoded += '\0';
  return encoded;
}

/// Header and question of `query`, turned into a reply.
std::string reply_header(std::string_view query, size_t question_end, DnsCode code, uint16_t flags) {
  std::string reply(query.substr(0, std::max(question_end, kDnsHeaderSize)));
  uint16_t wanted = load16(query, 2) & kRecursionDesired;
  store16(reply, 2, static_cast<uint16_t>(kResponse | wanted | flags | static_cast<uint16_t>(code)));
  store16(reply, 4, question_end > kDnsHeaderSize ? 1 : 0);
  for (size_t count : {6, 8, 10}) store16(reply, count, 0);
  return reply;
}

void append_record(std::string& reply, uint16_t type, std::string_view data) {
  append16(reply, kNamePointer);
  append16(reply, type);
  append16(reply, kInternet);
  append16(reply, static_cast<uint16_t>(kTimeToLive >> 16));
  append16(reply, static_cast<uint16_t>(kTimeToLive & 0xffff));
  append16(reply, static_cast<uint16_t>(data.size()));
  reply += data;
}

}  // namespace

bool is_dns_query(std::string_view message) {
  return message.size() >= kDnsHeaderSize && (load16(message, 2) & kResponse) == 0;
}

std::optional<DnsQuestion> parse_dns_query(std::string_view message) {
  if (!is_dns_query(message)) return std::nullopt;
  if ((load16(message, 2) & kOpcodeMask) != 0 || load16(message, 4) != 1) return std::nullopt;
  DnsQuestion question;
  question.id = load16(message, 0);
  size_t at = kDnsHeaderSize;
  while (true) {
    if (at >= message.size()) return std::nullopt;
    size_t length = static_cast<uint8_t>(message[at++]);
    if (length == 0) break;
    // 0xc0 would be a compression pointer: a question has nothing before it to point to.
    if (length > 63 || at + length > message.size()) return std::nullopt;
    if (!question.name.empty()) question.name += '.';
    for (char c : message.substr(at, length)) {
      if (c == '.' || c == '\0') return std::nullopt;
      question.name += lower(c);
    }
    if (question.name.size() > 253) return std::nullopt;
    at += length;
  }
  if (at + 4 > message.size()) return std::nullopt;
  question.type = load16(message, at);
  question.dns_class = load16(message, at + 2);
  question.end = at + 4;
  return question;
}

std::string make_dns_answer(std::string_view query, const DnsQuestion& question, const DnsAnswer& answer) {
  std::string reply =
      reply_header(query, question.end, DnsCode::NoError, kAuthoritative | kRecursionAvailable);
  uint16_t count = 0;
  for (const auto& address : answer.addresses) {
    if (count == kMaxAnswers) break;
    auto bytes = address.bytes();
    append_record(reply, question.type, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    ++count;
  }
  if (!answer.pointer.empty()) {
    append_record(reply, question.type, encode_name(answer.pointer));
    ++count;
  }
  store16(reply, 6, count);
  return reply;
}

std::string make_dns_failure(std::string_view query, DnsCode code) {
  auto question = parse_dns_query(query);
  return reply_header(query, question ? question->end : 0, code, kRecursionAvailable);
}

bool is_dns_reply_to(std::string_view reply, std::string_view query) {
  auto question = parse_dns_query(query);
  if (!question || reply.size() < question->end) return false;
  if ((load16(reply, 2) & kResponse) == 0 || load16(reply, 0) != question->id || load16(reply, 4) != 1)
    return false;
  for (size_t at = kDnsHeaderSize; at < question->end; ++at) {
    if (lower(reply[at]) != lower(query[at])) return false;
  }
  return true;
}

bool is_dns_refusal(std::string_view reply) {
  constexpr uint16_t kCodeMask = 0xf;
  constexpr uint16_t kServerFailure = 2;
  constexpr uint16_t kRefused = 5;
  if (reply.size() < kDnsHeaderSize) return false;
  const uint16_t code = load16(reply, 2) & kCodeMask;
  return code == kServerFailure || code == kRefused;
}

std::optional<IpAddress> parse_reverse_name(std::string_view name) {
  constexpr std::string_view kV4 = ".in-addr.arpa";
  constexpr std::string_view kV6 = ".ip6.arpa";
  std::array<uint8_t, 16> bytes{};
  if (name.ends_with(kV4)) {
    name.remove_suffix(kV4.size());
    for (size_t i = 4; i > 0; --i) {
      size_t dot = std::min(name.find('.'), name.size());
      auto [end, status] = std::from_chars(name.data(), name.data() + dot, bytes[i - 1]);
      if (status != std::errc() || end != name.data() + dot || dot == 0) return std::nullopt;
      name.remove_prefix(std::min(dot + 1, name.size()));
    }
    if (!name.empty()) return std::nullopt;
    return *IpAddress::from_bytes({bytes.data(), 4});
  }
  if (!name.ends_with(kV6)) return std::nullopt;
  name.remove_suffix(kV6.size());
  if (name.size() != 63) return std::nullopt;
  for (size_t i = 0; i < 32; ++i) {
    if (i > 0 && name[i * 2 - 1] != '.') return std::nullopt;
    uint8_t nibble = 0;
    const char* digit = name.data() + i * 2;
    auto [end, status] = std::from_chars(digit, digit + 1, nibble, 16);
    if (status != std::errc() || end != digit + 1) return std::nullopt;
    bytes[15 - i / 2] |= static_cast<uint8_t>(i % 2 == 0 ? nibble : nibble << 4);
  }
  return IpAddress::v6(bytes);
}

}  // namespace berth::network
