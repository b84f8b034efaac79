// Forwarding between sockets by splice(2), without copying through this process.
#include "network/port_proxy.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <string>

#include "network/socket_address.h"

namespace berth::network {
namespace {

using sys::UniqueFd;
using SteadyTime = std::chrono::steady_clock::time_point;

constexpr size_t kMaxConnections = 512;
constexpr size_t kSpliceBytes = 64 * 1024;
constexpr size_t kTurnBytes = 1024 * 1024;  ///< one connection's share before others have their turn
constexpr size_t kMaxDatagram = 65536;
constexpr auto kSessionIdle = std::chrono::seconds(90);
constexpr int kSweepMilliseconds = 10000;

/// One direction of a connection: bytes wait in a pipe between the two sockets.
struct Flow {
  UniqueFd out_of_pipe;
  UniqueFd into_pipe;
  size_t waiting = 0;
  bool source_ended = false;
  bool sink_closed = false;

  bool is_done() const { return source_ended && waiting == 0; }
};

enum class Pumped { Blocked, Turn, Broken };

bool would_block() {
  return errno == EAGAIN || errno == EINTR;
}

/// Moves bytes from one socket to the other until one of them blocks.
Pumped pump(Flow& flow, int source, int sink) {
  size_t moved = 0;
  while (moved < kTurnBytes) {
    bool progress = false;
    if (!flow.source_ended && flow.waiting < kSpliceBytes) {
      ssize_t in = ::splice(source, nullptr, flow.into_pipe.get(), nullptr, kSpliceBytes - flow.waiting,
                            SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
      if (in < 0 && !would_block()) return Pumped::Broken;
      if (in == 0) flow.source_ended = true;
      if (in > 0) flow.waiting += static_cast<size_t>(in);
      progress = in >= 0;
    }
    if (flow.waiting > 0) {
      ssize_t out = ::splice(flow.out_of_pipe.get(), nullptr, sink, nullptr, flow.waiting,
                             SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
      if (out < 0 && !would_block()) return Pumped::Broken;
      if (out > 0) {
        flow.waiting -= static_cast<size_t>(out);
        moved += static_cast<size_t>(out);
        progress = true;
      }
    }
    if (flow.is_done() && !flow.sink_closed) {
      ::shutdown(sink, SHUT_WR);
      flow.sink_closed = true;
    }
    if (!progress || flow.sink_closed) return Pumped::Blocked;
  }
  return Pumped::Turn;
}

/// Where a datagram came to, so that the answer leaves from there.
struct PacketInfo {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(in6_pktinfo))> bytes{};
  size_t size = 0;
};

}  // namespace

struct PortProxy::Listener {
  HeldPort held;
  IpAddress target;
};

struct PortProxy::Connection {
  uint64_t listener;
  UniqueFd client;
  UniqueFd upstream;
  bool connected = false;
  Flow to_upstream;
  Flow to_client;
};

struct PortProxy::Session {
  uint64_t listener;
  UniqueFd upstream;
  sockaddr_storage client{};
  socklen_t client_size = 0;
  PacketInfo arrived_at;
  SteadyTime last_used;
};

/// Everything the thread and the callers share, under one mutex; the thread lets go of it while it waits.
struct PortProxy::State {
  std::mutex mutex;
  UniqueFd epoll{::epoll_create1(EPOLL_CLOEXEC)};
  UniqueFd wake{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  bool stopping = false;
  /// Epoll events carry these ids: an event for something closed meanwhile finds nothing.
  uint64_t next_id = 1;
  std::map<uint64_t, Listener> listeners;
  std::map<uint64_t, Connection> connections;
  std::map<uint64_t, Session> sessions;
  std::map<std::pair<uint64_t, std::string>, uint64_t> session_of_client;

  Result<void> watch(int fd, uint32_t events, uint64_t id) {
    epoll_event event{};
    event.events = events;
    event.data.u64 = id;
    if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
      return Error::from_errno("watch socket", {}, errno);
    }
    return {};
  }
  /// Raises the event once more if the socket is still ready.
  void rearm(int fd, uint64_t id) {
    epoll_event event{};
    event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    event.data.u64 = id;
    ::epoll_ctl(epoll.get(), EPOLL_CTL_MOD, fd, &event);
  }

  void accept_from(uint64_t id, Listener& listener);
  Result<Connection> connect(uint64_t listener_id, const Listener& listener, UniqueFd client);
  void serve_connection(uint64_t id);
  void receive_from(uint64_t id, Listener& listener);
  Session* session_for(uint64_t listener_id, const Listener& listener, const sockaddr_storage& client,
                       socklen_t client_size);
  void answer(uint64_t id);
  void drop_session(uint64_t id);
  void sweep();
  void dispatch(uint64_t id);
};

Result<PortProxy::Connection> PortProxy::State::connect(uint64_t listener_id, const Listener& listener,
                                                        UniqueFd client) {
  Connection connection;
  connection.listener = listener_id;
  connection.client = std::move(client);
  connection.upstream.reset(
      ::socket(listener.target.address_family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!connection.upstream) return Error::from_errno("create socket", {}, errno);
  int one = 1;
  ::setsockopt(connection.client.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  ::setsockopt(connection.upstream.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  for (Flow* flow : {&connection.to_upstream, &connection.to_client}) {
    TRY(auto pipe, sys::make_pipe(O_NONBLOCK));
    flow->out_of_pipe = std::move(pipe.read);
    flow->into_pipe = std::move(pipe.write);
  }
  SocketAddress address(listener.target, listener.held.port.container_port);
  if (::connect(connection.upstream.get(), address.get(), address.size()) != 0 && errno != EINPROGRESS) {
    return Error::from_errno("connect", listener.target.to_string(), errno);
  }
  return connection;
}

void PortProxy::State::accept_from(uint64_t id, Listener& listener) {
  while (true) {
    UniqueFd client(::accept4(listener.held.socket.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!client) return;
    if (connections.size() >= kMaxConnections) continue;  // closed at once
    auto connection = connect(id, listener, std::move(client));
    if (!connection) continue;
    uint64_t connection_id = next_id++;
    constexpr uint32_t kEvents = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    if (!watch(connection->client.get(), kEvents, connection_id) ||
        !watch(connection->upstream.get(), kEvents, connection_id)) {
      continue;
    }
    connections.emplace(connection_id, *std::move(connection));
  }
}

void PortProxy::State::serve_connection(uint64_t id) {
  auto found = connections.find(id);
  if (found == connections.end()) return;
  Connection& connection = found->second;
  int client = connection.client.get();
  int upstream = connection.upstream.get();
  if (!connection.connected) {
    sockaddr_storage peer{};
    socklen_t size = sizeof(peer);
    int error = 0;
    socklen_t error_size = sizeof(error);
    ::getsockopt(upstream, SOL_SOCKET, SO_ERROR, &error, &error_size);
    if (error != 0) {
      connections.erase(found);
      return;
    }
    if (::getpeername(upstream, reinterpret_cast<sockaddr*>(&peer), &size) != 0) return;  // not yet
    connection.connected = true;
  }
  Pumped forth = pump(connection.to_upstream, client, upstream);
  Pumped back = pump(connection.to_client, upstream, client);
  bool broken = forth == Pumped::Broken || back == Pumped::Broken;
  if (broken || (connection.to_upstream.sink_closed && connection.to_client.sink_closed)) {
    connections.erase(found);
    return;
  }
  if (forth == Pumped::Turn || back == Pumped::Turn) {
    rearm(client, id);
    rearm(upstream, id);
  }
}

PortProxy::Session* PortProxy::State::session_for(uint64_t listener_id, const Listener& listener,
                                                  const sockaddr_storage& client, socklen_t client_size) {
  std::pair key(listener_id, std::string(reinterpret_cast<const char*>(&client), client_size));
  auto known = session_of_client.find(key);
  if (known != session_of_client.end()) return &sessions.at(known->second);
  if (sessions.size() >= kMaxConnections) return nullptr;
  Session session;
  session.listener = listener_id;
  session.client = client;
  session.client_size = client_size;
  session.upstream.reset(
      ::socket(listener.target.address_family(), SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  SocketAddress address(listener.target, listener.held.port.container_port);
  if (!session.upstream || ::connect(session.upstream.get(), address.get(), address.size()) != 0)
    return nullptr;
  uint64_t id = next_id++;
  if (!watch(session.upstream.get(), EPOLLIN, id)) return nullptr;
  session_of_client.emplace(std::move(key), id);
  return &sessions.emplace(id, std::move(session)).first->second;
}

void PortProxy::State::receive_from(uint64_t id, Listener& listener) {
  static thread_local std::array<char, kMaxDatagram> datagram;
  // Level triggered: what is left raises the event again.
  for (int i = 0; i < 64; ++i) {
    sockaddr_storage client{};
    PacketInfo info;
    iovec vector{datagram.data(), datagram.size()};
    msghdr message{};
    message.msg_name = &client;
    message.msg_namelen = sizeof(client);
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    message.msg_control = info.bytes.data();
    message.msg_controllen = info.bytes.size();
    ssize_t size = ::recvmsg(listener.held.socket.get(), &message, 0);
    if (size < 0) return;
    info.size = message.msg_controllen;
    Session* session = session_for(id, listener, client, message.msg_namelen);
    if (session == nullptr) continue;
    session->arrived_at = info;
    session->last_used = std::chrono::steady_clock::now();
    (void)::send(session->upstream.get(), datagram.data(), static_cast<size_t>(size), MSG_NOSIGNAL);
  }
}

void PortProxy::State::answer(uint64_t id) {
  static thread_local std::array<char, kMaxDatagram> datagram;
  Session& session = sessions.at(id);
  auto listener = listeners.find(session.listener);
  if (listener == listeners.end()) return;
  for (int i = 0; i < 64; ++i) {
    ssize_t size = ::recv(session.upstream.get(), datagram.data(), datagram.size(), 0);
    if (size < 0) return;  // also ECONNREFUSED: nobody listens inside, the client hears nothing
    session.last_used = std::chrono::steady_clock::now();
    iovec vector{datagram.data(), static_cast<size_t>(size)};
    msghdr message{};
    message.msg_name = &session.client;
    message.msg_namelen = session.client_size;
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    message.msg_control = session.arrived_at.bytes.data();
    message.msg_controllen = session.arrived_at.size;
    (void)::sendmsg(listener->second.held.socket.get(), &message, MSG_NOSIGNAL);
  }
}

void PortProxy::State::drop_session(uint64_t id) {
  std::erase_if(session_of_client, [&](const auto& entry) { return entry.second == id; });
  sessions.erase(id);
}

void PortProxy::State::sweep() {
  auto now = std::chrono::steady_clock::now();
  for (auto entry = sessions.begin(); entry != sessions.end();) {
    uint64_t id = entry->first;
    bool idle = now - entry->second.last_used > kSessionIdle;
    ++entry;
    if (idle) drop_session(id);
  }
}

void PortProxy::State::dispatch(uint64_t id) {
  auto listener = listeners.find(id);
  if (listener != listeners.end()) {
    if (listener->second.held.port.protocol == Protocol::Tcp) accept_from(id, listener->second);
    if (listener->second.held.port.protocol == Protocol::Udp) receive_from(id, listener->second);
  } else if (sessions.contains(id)) {
    answer(id);
  } else {
    serve_connection(id);
  }
}

PortProxy::PortProxy() : state_(std::make_unique<State>()) {}

PortProxy::~PortProxy() {
  if (!thread_.joinable()) return;
  {
    std::lock_guard lock(state_->mutex);
    state_->stopping = true;
    ::eventfd_write(state_->wake.get(), 1);
  }
  thread_.join();
}

Result<void> PortProxy::serve(HeldPort held, const IpAddress& target) {
  std::lock_guard lock(state_->mutex);
  if (!state_->epoll || !state_->wake)
    return Error(Kind::Exhausted, "no descriptors left for published ports");
  uint64_t id = state_->next_id++;
  int fd = held.socket.get();
  int one = 1;
  if (held.port.protocol == Protocol::Udp) {
    if (held.port.host_ip.is_v6()) {
      ::setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &one, sizeof(one));
    } else {
      ::setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &one, sizeof(one));
    }
  }
  if (held.socket && held.port.protocol != Protocol::Sctp) CHECK(state_->watch(fd, EPOLLIN, id));
  state_->listeners.emplace(id, Listener{std::move(held), target});
  if (!thread_.joinable()) {
    CHECK(state_->watch(state_->wake.get(), EPOLLIN, 0));
    thread_ = std::thread([this] { run(); });
  }
  return {};
}

void PortProxy::stop(const PublishedPort& port) {
  std::lock_guard lock(state_->mutex);
  for (auto entry = state_->listeners.begin(); entry != state_->listeners.end(); ++entry) {
    if (entry->second.held.port != port) continue;
    uint64_t id = entry->first;
    std::erase_if(state_->connections, [&](const auto& item) { return item.second.listener == id; });
    std::erase_if(state_->session_of_client, [&](const auto& item) { return item.first.first == id; });
    std::erase_if(state_->sessions, [&](const auto& item) { return item.second.listener == id; });
    state_->listeners.erase(entry);
    return;
  }
}

size_t PortProxy::connections() const {
  std::lock_guard lock(state_->mutex);
  return state_->connections.size() + state_->sessions.size();
}

void PortProxy::run() {
  // Signals are the main thread's; splicing into a closed socket would raise SIGPIPE here.
  sigset_t all;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, nullptr);
  std::array<epoll_event, 64> events;
  std::unique_lock lock(state_->mutex);
  while (!state_->stopping) {
    int timeout = state_->sessions.empty() ? -1 : kSweepMilliseconds;
    int epoll = state_->epoll.get();
    lock.unlock();
    int count = ::epoll_wait(epoll, events.data(), static_cast<int>(events.size()), timeout);
    lock.lock();
    for (int i = 0; i < count; ++i) {
      if (events[static_cast<size_t>(i)].data.u64 != 0)
        state_->dispatch(events[static_cast<size_t>(i)].data.u64);
    }
    state_->sweep();
  }
}

}  // namespace berth::network
