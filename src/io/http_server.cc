// Listening sockets, and the connections' common life.
#include "io/http_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/format.h"
#include "io/http_connection.h"
#include "io/task_group.h"
#include "io/tls.h"

namespace berth::io {
namespace {

constexpr int kBacklog = 1024;
constexpr std::chrono::milliseconds kDescriptorsExhaustedPause{50};
constexpr std::chrono::seconds kAfterDisconnect{1};
constexpr std::chrono::milliseconds kFlushPause{1};

struct Listener {
  sys::UniqueFd socket;
  detail::Transport transport;
  std::string path;  // of a unix socket that this process bound
  dev_t device = 0;
  ino_t inode = 0;
  std::shared_ptr<TlsContext> tls = {};
};

struct TcpListener {
  sys::UniqueFd socket;
  uint16_t port = 0;
};

/// Removes the path if it is still the socket that was bound.
void remove_path(const Listener& listener) {
  struct stat status;
  if (listener.path.empty() || ::lstat(listener.path.c_str(), &status) != 0) return;
  if (status.st_dev == listener.device && status.st_ino == listener.inode) ::unlink(listener.path.c_str());
}

Result<sockaddr_un> unix_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return failure(Kind::InvalidArgument,
                   "the socket path {} is longer than the {} bytes that the system allows", path,
                   sizeof address.sun_path - 1);
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

/// Whether somebody accepts connections on the path.
bool is_served(const sockaddr_un& address) {
  sys::UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return true;
  return errno == EAGAIN || errno == EINPROGRESS || errno == EPROTOTYPE;
}

Result<void> bind_unix(int socket, const sockaddr_un& address, const std::string& path) {
  const auto* generic = reinterpret_cast<const sockaddr*>(&address);
  if (::bind(socket, generic, sizeof address) == 0) return {};
  if (errno != EADDRINUSE) return Error::from_errno("bind", path, errno);
  struct stat status;
  if (::lstat(path.c_str(), &status) == 0 && !S_ISSOCK(status.st_mode)) {
    return failure(Kind::AlreadyExists, "{} exists and is not a socket", path);
  }
  if (is_served(address)) return failure(Kind::AlreadyExists, "another process serves {}", path);
  if (::unlink(path.c_str()) != 0 && errno != ENOENT)
    return Error::from_errno("remove stale socket", path, errno);
  if (::bind(socket, generic, sizeof address) != 0) return Error::from_errno("bind", path, errno);
  return {};
}

Result<TcpListener> bind_tcp(const std::string& address, uint16_t port) {
  sockaddr_storage storage{};
  socklen_t size = 0;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&storage);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&storage);
  if (::inet_pton(AF_INET, address.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    size = sizeof *v4;
  } else if (::inet_pton(AF_INET6, address.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    size = sizeof *v6;
  } else {
    return failure(Kind::InvalidArgument, "\"{}\" is not an IP address", address);
  }
  std::string subject = fmt::format("{}:{}", address, port);
  sys::UniqueFd socket(::socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return Error::from_errno("create socket for", subject, errno);
  // Accepted sockets inherit these.
  int one = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  ::setsockopt(socket.get(), SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
  ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (storage.ss_family == AF_INET6) ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
  if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&storage), size) != 0 ||
      ::listen(socket.get(), kBacklog) != 0) {
    return Error::from_errno("listen on", subject, errno);
  }
  ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&storage), &size);
  uint16_t bound = ntohs(storage.ss_family == AF_INET ? v4->sin_port : v6->sin6_port);
  return TcpListener{std::move(socket), bound};
}

}  // namespace

struct HttpServer::Impl {
  Impl(EventLoop& loop, Handler handler, HttpLimits limits) : service(loop, std::move(handler), limits) {}

  detail::HttpService service;
  std::list<Listener> listeners;
  TaskGroup accepting;
  TaskGroup sweeper;
  TaskGroup serving;
  std::list<TlsSession*> tls_sessions;
  TaskGroup encrypting;

  Task<void> accept_all(Listener* listener);
  void serve(sys::UniqueFd socket, detail::Transport transport);
  Task<void> serve_encrypted(std::shared_ptr<TlsContext> context, sys::UniqueFd socket);
  bool is_full() const;
  bool all_flushed() const;
  Task<void> sweep();
  void start(Listener listener);
  Task<bool> until_none_busy(SteadyTime deadline);
};

namespace {

Task<void> serve_connection(std::unique_ptr<detail::HttpConnection> connection) {
  co_await connection->serve();
}

Task<Result<void>> wait_for(Condition* condition) {
  co_await condition->wait();
  co_return Result<void>();
}

}  // namespace

void HttpServer::Impl::serve(sys::UniqueFd socket, detail::Transport transport) {
  auto connection = std::make_unique<detail::HttpConnection>(service, std::move(socket), transport);
  if (connection->open()) serving.spawn(serve_connection(std::move(connection)));
}

Task<void> HttpServer::Impl::serve_encrypted(std::shared_ptr<TlsContext> context, sys::UniqueFd socket) {
  TlsSession session(service.loop, std::move(context), std::move(socket));
  auto plain = co_await session.open(service.limits.handshake_timeout);
  if (plain && !service.closing) {
    auto place = tls_sessions.insert(tls_sessions.end(), &session);
    serve(std::move(*plain), detail::Transport::Tcp);
    co_await session.relay();
    tls_sessions.erase(place);
  }
  service.connection_changed.notify_all();
}

/// Sessions whose handshake is under way, or that were hijacked, count as well.
bool HttpServer::Impl::is_full() const {
  return service.connections.size() >= service.limits.max_connections ||
         encrypting.size() >= service.limits.max_connections;
}

bool HttpServer::Impl::all_flushed() const {
  return std::all_of(tls_sessions.begin(), tls_sessions.end(),
                     [](const TlsSession* session) { return session->is_flushed(); });
}

Task<void> HttpServer::Impl::accept_all(Listener* listener) {
  while (true) {
    while (is_full()) co_await service.connection_changed.wait();
    sys::UniqueFd socket(::accept4(listener->socket.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (socket) {
      if (listener->tls) {
        encrypting.spawn(serve_encrypted(listener->tls, std::move(socket)));
      } else {
        serve(std::move(socket), listener->transport);
      }
      continue;
    }
    if (errno == EAGAIN) {
      auto ready = co_await service.loop.readable(listener->socket.get());
      if (!ready) co_return;
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      co_await service.loop.sleep_for(kDescriptorsExhaustedPause);
    } else if (errno == EBADF || errno == EINVAL || errno == ENOTSOCK) {
      co_return;
    }
  }
}

Task<void> HttpServer::Impl::sweep() {
  while (true) {
    Task<Result<void>> earlier = wait_for(&service.sweep_earlier);
    if (service.next_sweep == SteadyTime::max()) {
      [[maybe_unused]] auto woken = co_await std::move(earlier);
      continue;
    }
    auto woken = co_await with_deadline(std::move(earlier), service.next_sweep);
    if (woken) continue;
    SteadyTime now = std::chrono::steady_clock::now();
    service.next_sweep = SteadyTime::max();
    for (auto* connection : service.connections) {
      service.next_sweep = std::min(service.next_sweep, connection->sweep(now));
    }
  }
}

void HttpServer::Impl::start(Listener listener) {
  listeners.push_back(std::move(listener));
  accepting.spawn(accept_all(&listeners.back()));
}

HttpServer::HttpServer(EventLoop& loop, Handler handler, HttpLimits limits)
    : impl_(std::make_unique<Impl>(loop, std::move(handler), limits)) {
  impl_->sweeper.spawn(impl_->sweep());
}

HttpServer::~HttpServer() {
  close_listeners();
  impl_->encrypting.destroy_all();
  impl_->serving.destroy_all();
}

Result<void> HttpServer::listen_unix(const std::string& path, UnixOptions options) {
  TRY(sockaddr_un address, unix_address(path));
  Listener listener{.transport = detail::Transport::Unix};
  listener.socket.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener.socket) return Error::from_errno("create socket", path, errno);
  CHECK(bind_unix(listener.socket.get(), address, path));
  struct stat status;
  if (::lstat(path.c_str(), &status) != 0) return Error::from_errno("stat", path, errno);
  listener.path = path;
  listener.device = status.st_dev;
  listener.inode = status.st_ino;
  // Nobody can connect before listen(): owner and mode are set in time.
  if (options.group && ::lchown(path.c_str(), static_cast<uid_t>(-1), *options.group) != 0) {
    Error error = Error::from_errno("change group of", path, errno);
    remove_path(listener);
    return error;
  }
  if (::chmod(path.c_str(), options.mode) != 0 || ::listen(listener.socket.get(), kBacklog) != 0) {
    Error error = Error::from_errno("listen on", path, errno);
    remove_path(listener);
    return error;
  }
  impl_->start(std::move(listener));
  return {};
}

Result<uint16_t> HttpServer::listen_tcp(const std::string& address, uint16_t port) {
  TRY(TcpListener bound, bind_tcp(address, port));
  impl_->start(Listener{.socket = std::move(bound.socket), .transport = detail::Transport::Tcp});
  return bound.port;
}

Result<uint16_t> HttpServer::listen_tls(const std::string& address, uint16_t port, const TlsConfig& config) {
  TRY(auto context, TlsContext::create(config));
  TRY(TcpListener bound, bind_tcp(address, port));
  impl_->start(Listener{
      .socket = std::move(bound.socket), .transport = detail::Transport::Tcp, .tls = std::move(context)});
  return bound.port;
}

Result<void> HttpServer::adopt(sys::UniqueFd listening) {
  int domain = 0, accepting = 0;
  socklen_t size = sizeof domain;
  if (::getsockopt(listening.get(), SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0) {
    return Error::from_errno("inspect the passed socket", {}, errno);
  }
  size = sizeof accepting;
  if (::getsockopt(listening.get(), SOL_SOCKET, SO_ACCEPTCONN, &accepting, &size) != 0 || accepting == 0) {
    return Error(Kind::InvalidArgument, "the passed socket does not listen");
  }
  int flags = ::fcntl(listening.get(), F_GETFL);
  ::fcntl(listening.get(), F_SETFL, flags | O_NONBLOCK);
  ::fcntl(listening.get(), F_SETFD, FD_CLOEXEC);
  impl_->start(Listener{.socket = std::move(listening),
                        .transport = domain == AF_UNIX ? detail::Transport::Unix : detail::Transport::Tcp});
  return {};
}

void HttpServer::close_listeners() {
  impl_->accepting.destroy_all();
  for (const auto& listener : impl_->listeners) remove_path(listener);
  impl_->listeners.clear();
  impl_->service.closing = true;
  for (auto* connection : impl_->service.connections) connection->close_if_idle();
}

Task<bool> HttpServer::Impl::until_none_busy(SteadyTime deadline) {
  auto any_busy = [this] {
    for (auto* connection : service.connections) {
      if (connection->busy()) return true;
    }
    return false;
  };
  while (any_busy()) {
    Task<Result<void>> change = wait_for(&service.connection_changed);
    auto changed = co_await with_deadline(std::move(change), deadline);
    if (!changed) co_return false;
  }
  co_return true;
}

Task<void> HttpServer::drain(SteadyTime deadline) {
  close_listeners();
  bool drained = co_await impl_->until_none_busy(deadline);
  // Nothing announces that a session has sent everything on.
  while (!impl_->all_flushed() && std::chrono::steady_clock::now() < deadline) {
    co_await impl_->service.loop.sleep_for(kFlushPause);
  }
  if (drained) co_return;
  for (auto* connection : impl_->service.connections) connection->disconnect();
  [[maybe_unused]] bool ended =
      co_await impl_->until_none_busy(std::chrono::steady_clock::now() + kAfterDisconnect);
}

size_t HttpServer::connections() const {
  return impl_->service.connections.size();
}

Task<Result<std::string>> Exchange::read_body(size_t limit) {
  std::string body;
  const HttpRequestHead& head = request();
  Error too_large(Kind::InvalidArgument, "request body too large");
  if (head.body == HttpRequestHead::Body::None) co_return body;
  if (head.body == HttpRequestHead::Body::Length && head.content_length > limit) co_return too_large;
  constexpr size_t kStep = 16 << 10;
  size_t used = 0;
  size_t step = head.body == HttpRequestHead::Body::Length && head.content_length < kStep
                    ? static_cast<size_t>(head.content_length) + 1
                    : kStep;
  while (true) {
    body.resize(used + step);
    CO_TRY(size_t count, co_await read_some(std::span(body).subspan(used)));
    used += count;
    if (used > limit) co_return too_large;
    if (count == 0) break;
  }
  body.resize(used);
  co_return body;
}

bool Exchange::wants_upgrade() const {
  // Without "Connection: Upgrade" too, as docker has it: some of its clients leave that out.
  return request().headers.get("Upgrade").has_value();
}

}  // namespace berth::io
