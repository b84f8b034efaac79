// The agent's protocol (draft-ietf-sshm-ssh-agent): messages of a 32-bit length and a byte of type, each
// request answered by one message, in order.
#include "build/agent_socket.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/format.h"

namespace berth::build {
namespace {

constexpr size_t max_message = size_t{256} << 10;  // OpenSSH's own bound
constexpr size_t max_clients = 64;                 // of one step

constexpr std::chrono::milliseconds out_of_resources_pause{100};

constexpr char request_identities = 11;
constexpr char sign_request = 13;
constexpr std::string_view refusal{"\0\0\0\1\5", 5};  // SSH_AGENT_FAILURE

Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.front() != '/' || path.size() >= sizeof address.sun_path ||
      path.find('\0') != path.npos) {
    return failure(Kind::InvalidArgument,
                   "ssh agent: \"{}\" is no path of a socket: it must be absolute and of {} bytes at most",
                   path.substr(0, 200), sizeof address.sun_path - 1);
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

Result<sys::UniqueFd> connect_to(const std::string& path) {
  TRY(sockaddr_un address, address_of(path));
  sys::UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return Error::from_errno("make", "socket", errno);
  if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) < 0) {
    return failure(
        Kind::InvalidArgument,
        "ssh agent: nothing answers at {} ({}): start ssh-agent on the engine's machine, and give its "
        "SSH_AUTH_SOCK",
        path, std::strerror(errno));
  }
  return socket;
}

/// All of `bytes`; false when the other side is gone.
io::Task<bool> send_all(io::EventLoop& loop, int socket, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
      bytes.remove_prefix(static_cast<size_t>(sent));
    } else if (errno == EAGAIN) {
      auto ready = co_await loop.writable(socket);
      if (!ready) co_return false;
    } else if (errno != EINTR) {
      co_return false;
    }
  }
  co_return true;
}

/// Appends until `message` has `size` bytes; false at the end of the stream.
io::Task<bool> receive_up_to(io::EventLoop& loop, int socket, std::string& message, size_t size) {
  while (message.size() < size) {
    char buffer[4096];
    const size_t wanted = std::min(sizeof buffer, size - message.size());
    const ssize_t count = ::recv(socket, buffer, wanted, MSG_DONTWAIT);
    if (count > 0) {
      message.append(buffer, static_cast<size_t>(count));
    } else if (count < 0 && errno == EAGAIN) {
      auto ready = co_await loop.readable(socket);
      if (!ready) co_return false;
    } else if (count == 0 || errno != EINTR) {
      co_return false;
    }
  }
  co_return true;
}

/// One message with its length before it; empty at the end of the stream and for what is no message.
io::Task<std::string> receive_message(io::EventLoop& loop, int socket) {
  std::string message;
  auto reading_length = receive_up_to(loop, socket, message, 4);
  bool received = co_await std::move(reading_length);
  if (!received) co_return std::string();
  size_t length = 0;
  for (const char c : message) length = length << 8 | static_cast<unsigned char>(c);
  if (length == 0 || length > max_message) co_return std::string();
  auto reading_rest = receive_up_to(loop, socket, message, 4 + length);
  received = co_await std::move(reading_rest);
  if (!received) message.clear();
  co_return message;
}

}  // namespace

Result<std::unique_ptr<AgentSocket>> AgentSocket::open(io::EventLoop& loop, const Options& options) {
  TRY(sys::UniqueFd tried, connect_to(options.agent));
  TRY(sockaddr_un address, address_of(options.path));
  sys::UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener) return Error::from_errno("make", "socket", errno);
  if (::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) < 0)
    return Error::from_errno("bind", options.path, errno);
  if (::listen(listener.get(), static_cast<int>(max_clients)) < 0)
    return Error::from_errno("listen at", options.path, errno);
  if (::lchown(options.path.c_str(), options.uid, options.gid) < 0)
    return Error::from_errno("chown", options.path, errno);
  if (::chmod(options.path.c_str(), options.mode) < 0) return Error::from_errno("chmod", options.path, errno);
  return std::unique_ptr<AgentSocket>(new AgentSocket(loop, options.agent, std::move(listener)));
}

AgentSocket::AgentSocket(io::EventLoop& loop, std::string agent, sys::UniqueFd listener)
    : loop_(loop), agent_(std::move(agent)), listener_(std::move(listener)) {
  tasks_.spawn(accept());
}

io::Task<void> AgentSocket::accept() {
  while (true) {
    auto ready = co_await loop_.readable(listener_.get());
    if (!ready) co_return;
    sys::UniqueFd client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    const bool is_short =
        !client && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS);
    if (is_short) co_await loop_.sleep_for(out_of_resources_pause);
    // Besides the clients this task itself counts. Who is too much sees a closed connection.
    if (client && tasks_.size() <= max_clients) tasks_.spawn(serve(std::move(client)));
  }
}

io::Task<void> AgentSocket::serve(sys::UniqueFd client) {
  auto agent = connect_to(agent_);
  while (agent) {
    auto asking = receive_message(loop_, client.get());
    std::string message = co_await std::move(asking);
    if (message.empty()) co_return;
    const char type = message[4];
    if (type == request_identities || type == sign_request) {
      auto passing_on = send_all(loop_, agent->get(), message);
      const bool sent = co_await std::move(passing_on);
      if (!sent) co_return;
      auto answering = receive_message(loop_, agent->get());
      message = co_await std::move(answering);
      if (message.empty()) co_return;
    } else {
      message = refusal;
    }
    auto returning = send_all(loop_, client.get(), message);
    const bool returned = co_await std::move(returning);
    if (!returned) co_return;
  }
}

}  // namespace berth::build
