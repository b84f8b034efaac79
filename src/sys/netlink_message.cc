// Netlink framing.
#include "sys/netlink_message.h"

#include <endian.h>
#include <sys/socket.h>

#include <cerrno>
#include <vector>

#include "base/format.h"

namespace berth::sys {
namespace {

std::span<const uint8_t> as_bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

template <class Integer>
std::span<const uint8_t> as_bytes(const Integer& value) {
  return {reinterpret_cast<const uint8_t*>(&value), sizeof(value)};
}

template <class Integer>
Integer load(std::span<const uint8_t> bytes) {
  Integer value = 0;
  if (bytes.size() >= sizeof(value)) std::memcpy(&value, bytes.data(), sizeof(value));
  return value;
}

}  // namespace

NetlinkMessage::NetlinkMessage(std::string& buffer, uint16_t type, uint16_t flags,
                               std::span<const uint8_t> payload)
    : buffer_(buffer), start_(buffer.size()) {
  nlmsghdr header{};
  header.nlmsg_type = type;
  header.nlmsg_flags = flags;
  raw(as_bytes(header));
  raw(payload);
}

NetlinkMessage& NetlinkMessage::raw(std::span<const uint8_t> value) {
  buffer_.append(reinterpret_cast<const char*>(value.data()), value.size());
  buffer_.append(NLMSG_ALIGN(value.size()) - value.size(), '\0');
  return *this;
}

NetlinkMessage& NetlinkMessage::attribute(uint16_t type, std::span<const uint8_t> value) {
  nlattr header{static_cast<uint16_t>(NLA_HDRLEN + value.size()), type};
  raw(as_bytes(header));
  return raw(value);
}

NetlinkMessage& NetlinkMessage::attribute(uint16_t type, std::string_view value) {
  return attribute(type, as_bytes(value));
}

NetlinkMessage& NetlinkMessage::text(uint16_t type, std::string_view value) {
  return attribute(type, std::string_view(std::string(value) + '\0'));
}

NetlinkMessage& NetlinkMessage::u8(uint16_t type, uint8_t value) {
  return attribute(type, as_bytes(value));
}
NetlinkMessage& NetlinkMessage::u16(uint16_t type, uint16_t value) {
  return attribute(type, as_bytes(value));
}
NetlinkMessage& NetlinkMessage::u32(uint16_t type, uint32_t value) {
  return attribute(type, as_bytes(value));
}
NetlinkMessage& NetlinkMessage::u32_be(uint16_t type, uint32_t value) {
  return u32(type, htobe32(value));
}
NetlinkMessage& NetlinkMessage::u64_be(uint16_t type, uint64_t value) {
  uint64_t big = htobe64(value);
  return attribute(type, as_bytes(big));
}

size_t NetlinkMessage::open_nest(uint16_t type) {
  size_t start = buffer_.size();
  nlattr header{NLA_HDRLEN, static_cast<uint16_t>(type | NLA_F_NESTED)};
  raw(as_bytes(header));
  return start;
}

void NetlinkMessage::close_nest(size_t start) {
  uint16_t length = static_cast<uint16_t>(buffer_.size() - start);
  std::memcpy(buffer_.data() + start, &length, sizeof(length));
}

void NetlinkMessage::finish() {
  if (finished_) return;
  finished_ = true;
  uint32_t length = static_cast<uint32_t>(buffer_.size() - start_);
  std::memcpy(buffer_.data() + start_, &length, sizeof(length));
}

uint32_t NetlinkAttribute::u32() const {
  return load<uint32_t>(value);
}
uint32_t NetlinkAttribute::u32_be() const {
  return be32toh(load<uint32_t>(value));
}
uint64_t NetlinkAttribute::u64_be() const {
  return be64toh(load<uint64_t>(value));
}
uint16_t NetlinkAttribute::u16() const {
  return load<uint16_t>(value);
}

std::string_view NetlinkAttribute::text() const {
  std::string_view all(reinterpret_cast<const char*>(value.data()), value.size());
  return all.substr(0, all.find('\0'));
}

Result<UniqueFd> open_netlink(int protocol) {
  UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol));
  if (!fd) return Error::from_errno("open netlink socket", {}, errno);
  int one = 1;
  // Extended acknowledgements carry the kernel's words; capped ones leave out the echoed request. Both are
  // refinements that an old kernel may lack.
  ::setsockopt(fd.get(), SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
  ::setsockopt(fd.get(), SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
  ::setsockopt(fd.get(), SOL_NETLINK, NETLINK_GET_STRICT_CHK, &one, sizeof(one));
  int size = 1 << 20;
  if (::setsockopt(fd.get(), SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) != 0) {
    ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
  }
  if (::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) != 0) {
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
  }
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    return Error::from_errno("bind netlink socket", {}, errno);
  }
  return fd;
}

Result<void> send_netlink(int fd, std::string_view bytes, std::string_view operation) {
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  ssize_t sent;
  do {
    sent = ::sendto(fd, bytes.data(), bytes.size(), 0, reinterpret_cast<sockaddr*>(&kernel), sizeof(kernel));
  } while (sent < 0 && errno == EINTR);
  if (sent != static_cast<ssize_t>(bytes.size())) {
    return Error::from_errno(operation, "netlink send", sent < 0 ? errno : EMSGSIZE);
  }
  return {};
}

Result<void> receive_netlink(int fd, std::string_view operation,
                             const std::function<bool(const NetlinkReply&)>& visit) {
  // The kernel fills dumps in skbs of at most 32 KiB.
  thread_local std::vector<uint8_t> buffer(64 * 1024);
  while (true) {
    sockaddr_nl sender{};
    socklen_t sender_size = sizeof(sender);
    // The kernel has answered when sendmsg(2) returns, and queues a dump's next part while the previous one
    // is read: an empty queue is an error, never a reason to wait.
    ssize_t received = ::recvfrom(fd, buffer.data(), buffer.size(), MSG_DONTWAIT,
                                  reinterpret_cast<sockaddr*>(&sender), &sender_size);
    if (received < 0 && errno == EINTR) continue;
    if (received < 0) return Error::from_errno(operation, "netlink receive", errno);
    if (sender.nl_pid != 0) continue;  // only the kernel is believed
    std::span<const uint8_t> rest(buffer.data(), static_cast<size_t>(received));
    while (rest.size() >= sizeof(nlmsghdr)) {
      nlmsghdr header;
      std::memcpy(&header, rest.data(), sizeof(header));
      if (header.nlmsg_len < sizeof(header) || header.nlmsg_len > rest.size()) break;
      NetlinkReply reply{header.nlmsg_type, header.nlmsg_seq,
                         rest.subspan(NLMSG_HDRLEN, header.nlmsg_len - NLMSG_HDRLEN)};
      if (!visit(reply)) return {};
      size_t step = NLMSG_ALIGN(header.nlmsg_len);
      if (step >= rest.size()) break;
      rest = rest.subspan(step);
    }
  }
}

NetlinkFailure parse_netlink_error(const NetlinkReply& reply) {
  nlmsgerr error{};
  if (reply.payload.size() < sizeof(error)) return {EBADMSG, {}};
  std::memcpy(&error, reply.payload.data(), sizeof(error));
  NetlinkFailure failure{-error.error, {}};
  // With capped acknowledgements the attributes follow the echoed header directly.
  for_each_attribute(reply.payload.subspan(sizeof(error)), [&](const NetlinkAttribute& attribute) {
    if (attribute.type == NLMSGERR_ATTR_MSG) failure.message = attribute.text();
  });
  return failure;
}

Error netlink_error(std::string_view operation, std::string_view subject, const NetlinkFailure& failure) {
  Error error = Error::from_errno(operation, subject, failure.errno_value);
  if (failure.message.empty()) return error;
  return Error::from_errno(operation, fmt::format("{} ({})", subject, failure.message), failure.errno_value);
}

}  // namespace berth::sys
