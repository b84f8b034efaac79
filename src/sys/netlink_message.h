// Netlink's framing: messages with nested attributes written into a byte string, and a bounds-checked reader
// of what the kernel answers. Knows no protocol; netlink.cc and nftables.cc build on it.
#pragma once

#include <linux/netlink.h>

#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "sys/fd.h"

namespace berth::sys {

/// Appends one message to a buffer; the header's length is set by finish() or the destructor.
class NetlinkMessage {
 public:
  /// `payload` is the protocol's fixed header (ifinfomsg, nfgenmsg, ...).
  NetlinkMessage(std::string& buffer, uint16_t type, uint16_t flags, std::span<const uint8_t> payload);
  template <class Header>
  NetlinkMessage(std::string& buffer, uint16_t type, uint16_t flags, const Header& header)
      : NetlinkMessage(buffer, type, flags,
                       std::span(reinterpret_cast<const uint8_t*>(&header), sizeof(header))) {}
  ~NetlinkMessage() { finish(); }
  NetlinkMessage(const NetlinkMessage&) = delete;
  NetlinkMessage& operator=(const NetlinkMessage&) = delete;

  NetlinkMessage& attribute(uint16_t type, std::span<const uint8_t> value);
  NetlinkMessage& attribute(uint16_t type, std::string_view value);
  /// With the terminating zero.
  NetlinkMessage& text(uint16_t type, std::string_view value);
  NetlinkMessage& u8(uint16_t type, uint8_t value);
  NetlinkMessage& u16(uint16_t type, uint16_t value);
  NetlinkMessage& u32(uint16_t type, uint32_t value);
  NetlinkMessage& u32_be(uint16_t type, uint32_t value);
  NetlinkMessage& u64_be(uint16_t type, uint64_t value);
  /// Raw bytes inside an open attribute (VETH_INFO_PEER holds an ifinfomsg before its attributes).
  NetlinkMessage& raw(std::span<const uint8_t> value);
  /// Everything that `content` adds becomes the value of one attribute.
  template <class Content>
  NetlinkMessage& nest(uint16_t type, Content content) {
    size_t start = open_nest(type);
    content(*this);
    close_nest(start);
    return *this;
  }
  /// Sets the length in the header; nothing can be added afterwards.
  void finish();

 private:
  size_t open_nest(uint16_t type);
  void close_nest(size_t start);
  std::string& buffer_;
  size_t start_;
  bool finished_ = false;
};

/// One attribute of a received message.
struct NetlinkAttribute {
  uint16_t type;
  std::span<const uint8_t> value;

  /// The value as an integer; 0 when it is shorter.
  uint32_t u32() const;
  uint32_t u32_be() const;
  uint64_t u64_be() const;
  uint16_t u16() const;
  /// Up to the terminating zero.
  std::string_view text() const;
};

/// Calls `visit(attribute)` for each attribute in `bytes`; stops at the first malformed one.
template <class Visit>
void for_each_attribute(std::span<const uint8_t> bytes, Visit visit) {
  while (bytes.size() >= sizeof(nlattr)) {
    nlattr header;
    std::memcpy(&header, bytes.data(), sizeof(header));
    if (header.nla_len < sizeof(header) || header.nla_len > bytes.size()) return;
    visit(NetlinkAttribute{static_cast<uint16_t>(header.nla_type & NLA_TYPE_MASK),
                           bytes.subspan(NLA_HDRLEN, header.nla_len - NLA_HDRLEN)});
    size_t step = NLA_ALIGN(header.nla_len);
    if (step >= bytes.size()) return;
    bytes = bytes.subspan(step);
  }
}

/// One received message.
struct NetlinkReply {
  uint16_t type;
  uint32_t sequence;
  std::span<const uint8_t> payload;
};

/// Opens a netlink socket of the calling thread's network namespace with enlarged buffers, extended
/// acknowledgements and strict checking of dump requests.
Result<UniqueFd> open_netlink(int protocol);
/// Sends one buffer.
Result<void> send_netlink(int fd, std::string_view bytes, std::string_view operation);
/// Receives datagrams and calls `visit` for each message until it returns false. An error of the socket
/// ends it; errors inside messages are the visitor's business.
Result<void> receive_netlink(int fd, std::string_view operation,
                             const std::function<bool(const NetlinkReply&)>& visit);
/// The errno in an NLMSG_ERROR payload (0: success) and the kernel's own words, if any.
struct NetlinkFailure {
  int errno_value = 0;
  std::string message;
};
NetlinkFailure parse_netlink_error(const NetlinkReply& reply);
/// The error of a failed operation, with the kernel's words behind it.
Error netlink_error(std::string_view operation, std::string_view subject, const NetlinkFailure& failure);

}  // namespace berth::sys
