// Unix packet sockets.
#include "sys/packet_socket.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

namespace berth::sys {
namespace {

constexpr size_t kMaxFds = 16;

}  // namespace

Result<std::pair<UniqueFd, UniqueFd>> make_packet_pair() {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
    return Error::from_errno("create socket pair", {}, errno);
  return std::pair{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

Result<UniqueFd> connect_packet_socket(const std::string& path) {
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket) return Error::from_errno("create socket", {}, errno);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  UniqueFd directory;
  std::string name = path;
  if (path.size() >= sizeof address.sun_path) {
    size_t slash = path.rfind('/');
    TRY(directory, open_file(path.substr(0, slash + 1).c_str(), O_PATH | O_DIRECTORY));
    name = "/proc/self/fd/" + std::to_string(directory.get()) + path.substr(slash);
    if (name.size() >= sizeof address.sun_path) return Error::from_errno("connect to", path, ENAMETOOLONG);
  }
  std::memcpy(address.sun_path, name.c_str(), name.size() + 1);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return Error::from_errno("connect to", path, errno);
  return socket;
}

Result<void> send_packet(int socket, std::string_view bytes, std::span<const int> fds) {
  if (fds.size() > kMaxFds) return Error(Kind::InvalidArgument, "too many descriptors for one packet");
  iovec piece{const_cast<char*>(bytes.data()), bytes.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxFds * sizeof(int))];
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size() * sizeof(int));
  }
  ssize_t sent;
  do sent = ::sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  if (sent < 0) return Error::from_errno("send to keeper", {}, errno);
  return {};
}

Result<std::optional<Packet>> receive_packet(int socket, size_t max_size) {
  Packet packet;
  packet.bytes.resize(max_size);
  iovec piece{packet.bytes.data(), packet.bytes.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxFds * sizeof(int))];
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t size;
  // A peer that closes with packets of ours unread leaves an error, told once and before the packets that it
  // sent.
  int resets = 0;
  do size = ::recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  while (size < 0 && (errno == EINTR || (errno == ECONNRESET && ++resets < 3)));
  if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return std::optional<Packet>();
  if (size < 0) return Error::from_errno("receive from keeper", {}, errno);
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
      packet.fds.emplace_back(fd);
    }
  }
  if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0)
    return Error(Kind::Corrupt, "receive from keeper: message too large");
  packet.bytes.resize(static_cast<size_t>(size));
  return std::optional(std::move(packet));
}

Result<void> await_packet(int socket, int milliseconds) {
  pollfd wait{.fd = socket, .events = POLLIN, .revents = 0};
  int ready;
  do ready = ::poll(&wait, 1, milliseconds);
  while (ready < 0 && errno == EINTR);
  if (ready < 0) return Error::from_errno("wait for keeper", {}, errno);
  if (ready == 0) return Error(Kind::DeadlineExceeded, "the keeper does not answer");
  return {};
}

}  // namespace berth::sys
