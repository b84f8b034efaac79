// Sending and receiving on a connected socket.
#include "apps/berth/client/connection.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

namespace berth::cli::client {

constexpr size_t receive_size = 256 * 1024;

Result<void> Connection::send(std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t sent = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      bytes.remove_prefix(static_cast<size_t>(sent));
    } else if (errno != EINTR) {
      return Error::from_errno("send to", "the engine", errno);
    }
  }
  return {};
}

Result<Connection::Got> Connection::receive(Wait wait) {
  if (start_ == buffer_.size()) {
    buffer_.clear();
    start_ = 0;
  }
  size_t before = buffer_.size();
  // A small first buffer: most answers are short, and pages of a large one would be touched for nothing.
  size_t room = before == 0 && buffer_.capacity() < receive_size ? 16 * 1024 : receive_size;
  buffer_.resize(before + room);
  ssize_t got;
  do {
    got = ::recv(fd_.get(), buffer_.data() + before, room, wait == Wait::Poll ? MSG_DONTWAIT : 0);
  } while (got < 0 && errno == EINTR);
  int error = errno;
  buffer_.resize(before + (got > 0 ? static_cast<size_t>(got) : 0));
  if (static_cast<size_t>(got) == room && got > 0) buffer_.reserve(receive_size + 1);
  if (got > 0) return Got::Bytes;
  if (got == 0) return Got::End;
  if (wait == Wait::Poll && (error == EAGAIN || error == EWOULDBLOCK)) return Got::Nothing;
  if (error == ECONNRESET || error == EPIPE) return Got::End;
  return Error::from_errno("receive from", "the engine", error);
}

}  // namespace berth::cli::client
