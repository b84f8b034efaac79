// From a container's log to a socket.
#include "engine/log_forwarding.h"

#include <netdb.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <charconv>
#include <cstring>

#include "base/format.h"
#include "base/log.h"
#include "engine/log_collector.h"
#include "engine/log_drivers.h"
#include "sys/file.h"

namespace berth::engine {
namespace {

using namespace std::chrono_literals;
using Transport = LogTarget::Transport;

constexpr auto first_retry = 500ms;
constexpr auto longest_retry = 30'000ms;
/// After the container's end a receiver that stays away is given this long.
constexpr auto final_patience = 60s;
constexpr size_t largest_batch = 256 << 10;

Result<sys::UniqueFd> connect_unix(const std::string& path, int type) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path)
    return failure(Kind::InvalidArgument, "the socket path \"{}\" is empty or too long", path);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  sys::UniqueFd fd(::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return Error::from_errno("socket", path, errno);
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    return Error::from_errno("connect", path, errno);
  return fd;
}

/// On a worker: names are resolved, and the connection is waited for.
Result<sys::UniqueFd> connect_network(const LogTarget& target) {
  int type = target.transport == Transport::Udp ? SOCK_DGRAM : SOCK_STREAM;
  addrinfo hints{};
  hints.ai_socktype = type;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  std::string port = std::to_string(target.port);
  std::string subject = target.address + ":" + port;
  if (int failed = ::getaddrinfo(target.address.c_str(), port.c_str(), &hints, &found); failed != 0)
    return failure(Kind::Unavailable, "resolve {}: {}", subject, ::gai_strerror(failed));
  int error = ECONNREFUSED;
  sys::UniqueFd fd;
  timeval patience{.tv_sec = 5, .tv_usec = 0};
  for (addrinfo* one = found; one != nullptr; one = one->ai_next) {
    fd.reset(::socket(one->ai_family, type | SOCK_CLOEXEC, 0));
    if (!fd) continue;
    ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (::connect(fd.get(), one->ai_addr, one->ai_addrlen) == 0) break;
    error = errno;
    fd.reset();
  }
  ::freeaddrinfo(found);
  if (!fd) return Error::from_errno("connect", subject, error);
  return fd;
}

Result<sys::UniqueFd> connect_to(const LogTarget& target) {
  switch (target.transport) {
    case Transport::UnixDatagram:
      return connect_unix(target.address, SOCK_DGRAM);
    case Transport::UnixStream:
      return connect_unix(target.address, SOCK_STREAM);
    case Transport::Udp:
    case Transport::Tcp:
      return connect_network(target);
  }
  return Error(Kind::Internal, "unknown transport");
}

/// One container's sending, while it runs and until what it wrote is sent.
class Forwarder {
 public:
  Forwarder(Core& core, ContainerHandle container, RemoteLog remote)
      : core_(core), container_(std::move(container)), remote_(std::move(remote)) {}

  io::Task<void> run() {
    load_position();
    LogRequest request{.follow = true, .timestamps = true, .framing = Framing::Multiplexed};
    request.since = position_;
    auto stream = core_.containers_facade.logs(container_->record.id, request);
    if (!stream) {
      log::warn("{}", stream.error().message());
      co_return;
    }
    while (true) {
      io::Task<Result<std::string_view>> next = (*stream)->next();
      auto bytes = co_await std::move(next);
      if (!bytes)
        log::warn("container {}: its log: {}", container_->record.short_id(), bytes.error().message());
      if (!bytes || bytes->empty()) co_return;
      io::Task<bool> sending = send_all(*bytes);
      bool sent = co_await std::move(sending);
      if (!sent) co_return;
      save_position();
    }
  }

 private:
  std::string position_path() const { return core_.container_dir(container_->record.id) + "/forwarded"; }

  void load_position() {
    auto text = sys::read_file(position_path(), 64);
    int64_t nanoseconds = 0;
    if (text && std::from_chars(text->data(), text->data() + text->size(), nanoseconds).ec == std::errc()) {
      position_ = from_unix_nanoseconds(nanoseconds + 1);
    }
  }
  void save_position() {
    if (container_->removed) return;
    std::string text = std::to_string(to_unix_nanoseconds(position_));
    if (auto saved = sys::write_file_atomic(position_path(), text, 0600); !saved)
      log::debug("{}", saved.error().message());
  }

  /// Takes frames apart: {stream, 0, 0, 0, length}, time, space, line.
  io::Task<bool> send_all(std::string_view bytes) {
    constexpr size_t frame_head = 8;
    constexpr size_t stamp_size = 30;  // 2026-01-01T00:00:00.123456789Z
    while (bytes.size() >= frame_head) {
      uint32_t length = 0;
      for (size_t i = 4; i < frame_head; ++i) length = length << 8 | static_cast<unsigned char>(bytes[i]);
      std::string_view frame = bytes.substr(frame_head, length);
      LogLine line{.is_error = bytes[0] == 2};
      bytes.remove_prefix(std::min(bytes.size(), frame_head + length));
      if (frame.size() <= stamp_size) continue;
      auto time = parse_rfc3339(frame.substr(0, stamp_size));
      if (!time) continue;
      line.time = *time;
      line.text = frame.substr(stamp_size + 1);
      if (line.text.ends_with('\n')) line.text.remove_suffix(1);
      // The name may have changed meanwhile.
      LogOrigin origin = log_origin(container_->record, remote_, core_.host_name);
      std::vector<std::string> messages = log_messages(remote_, origin, line);
      reached_ = std::max(reached_, line.time);
      for (std::string& message : messages) {
        batch_ += message;
        if (gathers() && batch_.size() < largest_batch) continue;
        io::Task<bool> sending = send_batch();
        bool sent = co_await std::move(sending);
        if (!sent) co_return false;
      }
      if (batch_.empty()) position_ = reached_;
    }
    io::Task<bool> sending = send_batch();
    co_return co_await std::move(sending);
  }

  /// Events of Splunk's go together in one request; elsewhere every message is on its own.
  bool gathers() const { return remote_.kind == RemoteLog::Kind::Splunk; }

  io::Task<bool> send_batch() {
    if (batch_.empty()) co_return true;
    io::Task<bool> sending = send(std::exchange(batch_, {}));
    bool sent = co_await std::move(sending);
    if (sent && gathers()) position_ = reached_;
    co_return sent;
  }

  bool is_over() const { return container_->run == nullptr || core_.closing; }

  /// False: given up, as the container has ended and nobody takes its lines, or the daemon stops.
  io::Task<bool> send(std::string message) {
    std::chrono::milliseconds delay = first_retry;
    std::optional<std::chrono::steady_clock::time_point> deadline;
    while (true) {
      io::Task<Result<void>> trying = try_send(message);
      auto sent = co_await std::move(trying);
      if (sent) {
        said_ = false;
        co_return true;
      }
      socket_.reset();
      if (!said_) {
        log::warn("container {}: its output cannot be sent by log driver {}, and waits on disk: {}",
                  container_->record.short_id(), container_->record.host_config.log_config.type,
                  sent.error().message());
        said_ = true;
      }
      auto now = std::chrono::steady_clock::now();
      if (is_over() && !deadline) deadline = now + final_patience;
      if (core_.closing || (deadline && now > *deadline)) co_return false;
      co_await core_.loop.sleep_for(delay);
      delay = std::min<std::chrono::milliseconds>(delay * 2, longest_retry);
    }
  }

  io::Task<Result<void>> try_post(const std::string& events) {
    if (!collector_) collector_ = std::make_unique<LogCollector>(remote_);
    auto work = [this, &events] { return collector_->post(events); };
    auto posted = co_await core_.loop.on_worker(work);
    if (!posted && posted.error().kind() == Kind::InvalidArgument) {
      log::warn("container {}: {}", container_->record.short_id(), posted.error().message());
      co_return Result<void>();  // never taken: not these lines, but those behind them
    }
    co_return posted;
  }

  io::Task<Result<void>> try_send(const std::string& message) {
    if (gathers()) {
      io::Task<Result<void>> posting = try_post(message);
      co_return co_await std::move(posting);
    }
    std::string_view bytes = message;
    if (!socket_) {
      auto work = [this] { return connect_to(remote_.target); };
      CO_TRY(socket_, co_await core_.loop.on_worker(work));
    }
    bool datagrams =
        remote_.target.transport == Transport::UnixDatagram || remote_.target.transport == Transport::Udp;
    while (!bytes.empty()) {
      ssize_t count = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (count >= 0) {
        bytes.remove_prefix(datagrams ? bytes.size() : static_cast<size_t>(count));
      } else if (errno == EAGAIN) {
        CO_CHECK(co_await core_.loop.writable(socket_.get()));
      } else if (errno == EMSGSIZE) {
        co_return Result<void>();  // no receiver can take it: not this line, but those behind it
      } else if (errno != EINTR) {
        co_return Error::from_errno("send", remote_.target.address, errno);
      }
    }
    co_return Result<void>();
  }

  Core& core_;
  ContainerHandle container_;
  RemoteLog remote_;
  sys::UniqueFd socket_;
  std::unique_ptr<LogCollector> collector_;
  std::string batch_;     ///< events that are not sent yet
  Timestamp position_{};  ///< of the last line that was sent
  Timestamp reached_{};   ///< of the last line that was read
  bool said_ = false;
};

io::Task<void> forward(Core& core, ContainerHandle container, RemoteLog remote) {
  do {
    Forwarder forwarder(core, container, remote);
    io::Task<void> running = forwarder.run();
    co_await std::move(running);
    // One that has been started again meanwhile goes on with the same log.
  } while (container->run != nullptr && container->run->settled.is_set() && !container->removed &&
           !core.closing);
  container->forwarding = false;
}

}  // namespace

void forward_logs(Core& core, const ContainerHandle& container) {
  if (container->forwarding) return;
  auto remote = parse_log_driver(container->record.host_config.log_config);
  if (!remote || !*remote) return;
  container->forwarding = true;
  core.tasks.spawn(forward(core, container, std::move(**remote)));
}

}  // namespace berth::engine
