// Speaking D-Bus over a Unix socket.
#include "sys/dbus_connection.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "base/format.h"

namespace berth::sys {
namespace {

constexpr size_t kMaxLine = 4096;
constexpr size_t kMaxSignals = 4096;

Result<void> await(int socket, short what, DbusConnection::Deadline deadline) {
  while (true) {
    auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return Error(Kind::DeadlineExceeded, "D-Bus: no answer in time");
    pollfd event{socket, what, 0};
    int ready = ::poll(&event, 1, static_cast<int>(std::min<int64_t>(left.count(), 60'000)));
    if (ready > 0) return {};
    if (ready < 0 && errno != EINTR) return Error::from_errno("wait for", "D-Bus", errno);
  }
}

Result<void> send_all(int socket, std::string_view bytes, DbusConnection::Deadline deadline) {
  while (!bytes.empty()) {
    ssize_t sent = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == EAGAIN) {
      CHECK(await(socket, POLLOUT, deadline));
    } else if (sent < 0 && errno != EINTR) {
      return Error::from_errno("send to", "D-Bus", errno);
    } else if (sent > 0) {
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
  }
  return {};
}

/// What the names of errors mean, the service's and the bus's own.
Kind kind_of(std::string_view name) {
  constexpr std::pair<std::string_view, Kind> kKinds[] = {
      {"NoSuchUnit", Kind::NotFound},         {"UnitExists", Kind::AlreadyExists},
      {"AccessDenied", Kind::Forbidden},      {"InteractiveAuthorizationRequired", Kind::Forbidden},
      {"InvalidArgs", Kind::InvalidArgument}, {"PropertyReadOnly", Kind::InvalidArgument},
      {"NotSupported", Kind::Unsupported},    {"UnknownMethod", Kind::Unsupported}};
  std::string_view last = name.substr(name.rfind('.') + 1);
  for (const auto& [known, kind] : kKinds)
    if (known == last) return kind;
  return Kind::Unavailable;
}

}  // namespace

Result<DbusConnection> DbusConnection::open(const std::string& path, Deadline deadline) {
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return Error::from_errno("make socket", "D-Bus", errno);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path)
    return Error::from_errno("connect to", path, ENAMETOOLONG);
  std::memcpy(address.sun_path, path.data(), path.size());
  auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  if (path[0] == '@')
    address.sun_path[0] = '\0';
  else
    ++size;
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0)
    return Error::from_errno("connect to", path, errno);
  DbusConnection connection(std::move(socket));
  CHECK(connection.authenticate(deadline));
  return connection;
}

/// EXTERNAL without a name: the other end takes the one that the kernel tells it, which may be another than
/// ours where we are in a user namespace.
Result<void> DbusConnection::authenticate(Deadline deadline) {
  using namespace std::string_view_literals;
  // All at once: systemd does not look at a message that it has read together with the BEGIN before more
  // arrives.
  CHECK(send_all(socket_.get(), "\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n"sv, deadline));
  TRY(std::string answer, read_line(deadline));
  if (answer.starts_with("DATA")) {
    TRY(answer, read_line(deadline));
  }
  if (!answer.starts_with("OK"))
    return failure(Kind::Forbidden, "D-Bus: the other end does not let us in: {}", answer);
  return {};
}

Result<void> DbusConnection::read_more(size_t wanted, Deadline deadline) {
  size_t had = pending_.size();
  pending_.resize(had + wanted);
  ssize_t got = -1;
  while (got < 0) {
    auto ready = await(socket_.get(), POLLIN, deadline);
    if (!ready) {
      pending_.resize(had);
      return ready;
    }
    got = ::recv(socket_.get(), pending_.data() + had, wanted, MSG_DONTWAIT);
    if (got < 0 && errno != EINTR && errno != EAGAIN) {
      int error = errno;
      pending_.resize(had);
      return Error::from_errno("hear from", "D-Bus", error);
    }
  }
  pending_.resize(had + static_cast<size_t>(got));
  if (got == 0) return Error(Kind::Unavailable, "D-Bus: the other end has hung up");
  return {};
}

Result<std::string> DbusConnection::read_line(Deadline deadline) {
  size_t end = std::string::npos;
  while ((end = pending_.find("\r\n")) == std::string::npos) {
    if (pending_.size() > kMaxLine) return Error(Kind::Corrupt, "D-Bus: a line without end");
    CHECK(read_more(512, deadline));
  }
  std::string line = pending_.substr(0, end);
  pending_.erase(0, end + 2);
  return line;
}

Result<DbusMessage> DbusConnection::receive(Deadline deadline) {
  while (pending_.size() < kDbusHeaderStart) CHECK(read_more(kDbusHeaderStart - pending_.size(), deadline));
  TRY(size_t size, dbus_message_size(pending_));
  while (pending_.size() < size) CHECK(read_more(size - pending_.size(), deadline));
  TRY(auto message, decode_dbus_message(std::string_view(pending_).substr(0, size)));
  pending_.erase(0, size);
  return message;
}

Result<DbusMessage> DbusConnection::call(const DbusCall& call, const DbusArguments& arguments,
                                         Deadline deadline) {
  uint32_t serial = ++serial_;
  CHECK(send_all(socket_.get(), encode_dbus_call(call, serial, arguments), deadline));
  while (true) {
    TRY(auto message, receive(deadline));
    if (message.kind == DbusKind::Signal) {
      if (signals_.size() >= kMaxSignals)
        return Error(Kind::Exhausted, "D-Bus: too many signals before the answer");
      signals_.push_back(std::move(message));
      continue;
    }
    if (message.reply_serial != serial) continue;
    if (message.kind == DbusKind::Reply) return message;
    if (message.kind != DbusKind::Error) continue;
    auto text = message.signature.starts_with("s") ? DbusReader(message.body).text() : std::nullopt;
    return failure(kind_of(message.error_name), "{}: {} ({})", call.member, text.value_or("it failed"),
                   message.error_name);
  }
}

Result<DbusMessage> DbusConnection::signal(std::string_view member, Deadline deadline) {
  while (true) {
    DbusMessage message;
    if (signals_.empty()) {
      TRY(message, receive(deadline));
    } else {
      message = std::move(signals_.front());
      signals_.pop_front();
    }
    if (message.kind == DbusKind::Signal && message.member == member) return message;
  }
}

}  // namespace berth::sys
