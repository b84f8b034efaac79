// The embedded DNS server: sockets, forwarding, time limits.
#include "network/dns_server.h"

#include <net/if.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <map>
#include <mutex>

#include "base/format.h"
#include "network/dns_redirect.h"
#include "network/socket_address.h"

namespace berth::network {
namespace {

using sys::UniqueFd;
using SteadyClock = std::chrono::steady_clock;

constexpr size_t kMaxForwards = 1024;
constexpr size_t kMaxClients = 256;
constexpr size_t kMaxMessage = 65535;
constexpr size_t kMaxUdpQuery = 4096;
constexpr size_t kMaxUpstream = 6;
constexpr int kRounds = 2;  ///< how often all upstream servers are tried
constexpr auto kServerPatience = std::chrono::seconds(2);
constexpr auto kClientPatience = std::chrono::seconds(10);

/// An upstream server, ready for connect(2).
struct Upstream {
  sockaddr_storage address{};
  socklen_t size = 0;
};

std::optional<Upstream> parse_upstream(const std::string& text) {
  size_t percent = text.find('%');
  auto address = IpAddress::parse(std::string_view(text).substr(0, percent));
  if (!address) return std::nullopt;
  SocketAddress plain(*address, 53);
  Upstream upstream;
  upstream.size = plain.size();
  std::memcpy(&upstream.address, plain.get(), plain.size());
  if (percent != text.npos && address->is_v6()) {
    unsigned zone = ::if_nametoindex(text.c_str() + percent + 1);
    if (zone == 0) return std::nullopt;
    reinterpret_cast<sockaddr_in6*>(&upstream.address)->sin6_scope_id = zone;
  }
  return upstream;
}

uint16_t random_id16() {
  uint16_t id = 0;
  if (::getrandom(&id, sizeof(id), 0) != sizeof(id))
    id = static_cast<uint16_t>(SteadyClock::now().time_since_epoch().count());
  return id;
}

void set_id(std::string& message, uint16_t id) {
  message[0] = static_cast<char>(id >> 8);
  message[1] = static_cast<char>(id & 0xff);
}

uint16_t id_of(std::string_view message) {
  return static_cast<uint16_t>(static_cast<uint8_t>(message[0]) << 8 | static_cast<uint8_t>(message[1]));
}

/// TCP messages have their length in front (RFC 1035 section 4.2.2).
std::string framed(std::string_view message) {
  std::string frame;
  frame += static_cast<char>(message.size() >> 8);
  frame += static_cast<char>(message.size() & 0xff);
  frame += message;
  return frame;
}

/// Cuts the first whole message off `buffer`.
std::optional<std::string> take_frame(std::string& buffer) {
  if (buffer.size() < 2) return std::nullopt;
  size_t size = id_of(buffer);
  if (buffer.size() < 2 + size) return std::nullopt;
  std::string message = buffer.substr(2, size);
  buffer.erase(0, 2 + size);
  return message;
}

}  // namespace

/// What the thread and the callers share, under one mutex; the thread lets go of it while it waits.
struct DnsServer::State {
  struct Container {
    std::vector<std::string> networks;
    std::vector<Upstream> upstream;
    DnsLinks links;
    UniqueFd udp;
    UniqueFd tcp;
    uint64_t udp_id = 0;
    uint64_t tcp_id = 0;
  };
  /// A TCP connection from a container.
  struct Client {
    std::string container;
    UniqueFd fd;
    std::string received;
    std::string to_send;
    bool waiting = false;  ///< for upstream: the next question is not read before its answer
    SteadyClock::time_point deadline;
  };
  /// A question that is being asked upstream.
  struct Forward {
    std::string container;
    std::string query;  ///< with our own id
    uint16_t client_id = 0;
    uint64_t client = 0;  ///< a Client's id, or 0: by UDP to `peer`
    sockaddr_storage peer{};
    socklen_t peer_size = 0;
    size_t attempt = 0;
    UniqueFd fd;
    std::string received;
    bool sent = false;  ///< TCP: the query has been written
    SteadyClock::time_point deadline;
  };

  mutable std::mutex mutex;
  UniqueFd epoll{::epoll_create1(EPOLL_CLOEXEC)};
  UniqueFd wake{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  bool stopping = false;
  uint64_t next_id = 1;
  size_t rotation = 0;
  std::map<std::string, DnsNetwork> networks;
  std::map<std::string, Container> containers;
  std::map<uint64_t, std::string> listeners;  ///< id -> container
  std::map<uint64_t, Client> clients;
  std::map<uint64_t, Forward> forwards;

  Result<void> watch(int fd, uint32_t events, uint64_t id, int operation = EPOLL_CTL_ADD) {
    epoll_event event{};
    event.events = events;
    event.data.u64 = id;
    if (::epoll_ctl(epoll.get(), operation, fd, &event) != 0)
      return Error::from_errno("watch socket", {}, errno);
    return {};
  }

  void remove_container(const std::string& id);
  std::optional<std::string> answer(const Container& container, std::string_view query);
  void handle(const std::string& container_id, std::string query, uint64_t client,
              const sockaddr_storage& peer, socklen_t peer_size);
  bool ask_upstream(uint64_t id, Forward& forward);
  void deliver(Forward& forward, std::string reply);
  void receive_datagrams(const std::string& container_id);
  void accept_clients(const std::string& container_id);
  void serve_client(uint64_t id);
  void flush_client(uint64_t id, Client& client);
  void answer_client(uint64_t id);
  void serve_forward(uint64_t id);
  std::optional<std::string> read_reply(Forward& forward, bool& failed);
  void next_attempt(uint64_t id);
  void dispatch(uint64_t id);
  int expire();
};

void DnsServer::State::remove_container(const std::string& id) {
  auto found = containers.find(id);
  if (found == containers.end()) return;
  listeners.erase(found->second.udp_id);
  listeners.erase(found->second.tcp_id);
  std::erase_if(clients, [&](const auto& entry) { return entry.second.container == id; });
  std::erase_if(forwards, [&](const auto& entry) { return entry.second.container == id; });
  containers.erase(found);
}

/// The reply to a question that is answered here; nullopt: ask upstream.
std::optional<std::string> DnsServer::State::answer(const Container& container, std::string_view query) {
  auto question = parse_dns_query(query);
  if (!question) return make_dns_failure(query, DnsCode::FormatError);
  std::vector<const DnsNetwork*> known;
  bool has_way_out = false;
  for (const auto& id : container.networks) {
    auto found = networks.find(id);
    if (found != networks.end()) known.push_back(&found->second);
    has_way_out |= found == networks.end() || !found->second.internal;
  }
  DnsDecision decision = decide_dns(*question, known, has_way_out, container.links);
  if (decision.act == DnsDecision::Act::Forward) return std::nullopt;
  if (decision.act == DnsDecision::Act::Refuse) return make_dns_failure(query, DnsCode::ServerFailure);
  // Several containers with one alias share the load.
  auto& addresses = decision.answer.addresses;
  if (addresses.size() > 1) {
    std::rotate(addresses.begin(), addresses.begin() + static_cast<ptrdiff_t>(rotation++ % addresses.size()),
                addresses.end());
  }
  return make_dns_answer(query, *question, decision.answer);
}

void DnsServer::State::handle(const std::string& container_id, std::string query, uint64_t client,
                              const sockaddr_storage& peer, socklen_t peer_size) {
  if (!is_dns_query(query)) return;
  const Container& container = containers.at(container_id);
  Forward forward;
  forward.container = container_id;
  forward.client_id = id_of(query);
  forward.client = client;
  forward.peer = peer;
  forward.peer_size = peer_size;
  if (auto reply = answer(container, query)) return deliver(forward, *std::move(reply));
  if (forwards.size() >= kMaxForwards || container.upstream.empty()) {
    return deliver(forward, make_dns_failure(query, DnsCode::ServerFailure));
  }
  // An id of our own and a fresh socket each time: replies cannot be guessed.
  set_id(query, random_id16());
  forward.query = std::move(query);
  if (client != 0) clients.at(client).waiting = true;
  uint64_t id = next_id++;
  forwards.emplace(id, std::move(forward));
  next_attempt(id);
}

bool DnsServer::State::ask_upstream(uint64_t id, Forward& forward) {
  const Container& container = containers.at(forward.container);
  const Upstream& upstream = container.upstream[(forward.attempt - 1) % container.upstream.size()];
  bool stream = forward.client != 0;
  forward.received.clear();
  forward.sent = !stream;
  forward.deadline = SteadyClock::now() + kServerPatience;
  forward.fd.reset(::socket(upstream.address.ss_family,
                            (stream ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!forward.fd) return false;
  if (::connect(forward.fd.get(), reinterpret_cast<const sockaddr*>(&upstream.address), upstream.size) != 0 &&
      errno != EINPROGRESS) {
    return false;
  }
  if (!stream && ::send(forward.fd.get(), forward.query.data(), forward.query.size(), MSG_NOSIGNAL) < 0)
    return false;
  return watch(forward.fd.get(), stream ? EPOLLOUT : EPOLLIN, id).has_value();
}

/// Asks the next server, or gives up.
void DnsServer::State::next_attempt(uint64_t id) {
  auto found = forwards.find(id);
  if (found == forwards.end()) return;
  Forward& forward = found->second;
  size_t limit = containers.at(forward.container).upstream.size() * kRounds;
  while (forward.attempt < limit) {
    ++forward.attempt;
    if (ask_upstream(id, forward)) return;
  }
  uint64_t client = forward.client;
  deliver(forward, make_dns_failure(forward.query, DnsCode::ServerFailure));
  forwards.erase(id);
  if (client != 0) answer_client(client);
}

void DnsServer::State::deliver(Forward& forward, std::string reply) {
  set_id(reply, forward.client_id);
  if (forward.client == 0) {
    const Container& container = containers.at(forward.container);
    (void)::sendto(container.udp.get(), reply.data(), reply.size(), MSG_NOSIGNAL,
                   reinterpret_cast<const sockaddr*>(&forward.peer), forward.peer_size);
    return;
  }
  auto client = clients.find(forward.client);
  if (client == clients.end()) return;
  client->second.waiting = false;
  client->second.to_send += framed(reply);
  flush_client(client->first, client->second);
}

void DnsServer::State::receive_datagrams(const std::string& container_id) {
  std::array<char, kMaxUdpQuery> buffer;
  for (int i = 0; i < 32; ++i) {
    sockaddr_storage peer{};
    socklen_t size = sizeof(peer);
    ssize_t got = ::recvfrom(containers.at(container_id).udp.get(), buffer.data(), buffer.size(), 0,
                             reinterpret_cast<sockaddr*>(&peer), &size);
    if (got < 0) return;
    handle(container_id, std::string(buffer.data(), static_cast<size_t>(got)), 0, peer, size);
  }
}

void DnsServer::State::accept_clients(const std::string& container_id) {
  while (true) {
    UniqueFd fd(
        ::accept4(containers.at(container_id).tcp.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd) return;
    if (clients.size() >= kMaxClients) continue;  // closed at once
    uint64_t id = next_id++;
    if (!watch(fd.get(), EPOLLIN, id)) continue;
    clients.emplace(id,
                    Client{container_id, std::move(fd), {}, {}, false, SteadyClock::now() + kClientPatience});
  }
}

void DnsServer::State::flush_client(uint64_t id, Client& client) {
  ssize_t sent = ::send(client.fd.get(), client.to_send.data(), client.to_send.size(), MSG_NOSIGNAL);
  if (sent > 0) client.to_send.erase(0, static_cast<size_t>(sent));
  uint32_t events = client.to_send.empty() ? EPOLLIN : EPOLLOUT;
  (void)watch(client.fd.get(), events, id, EPOLL_CTL_MOD);
}

void DnsServer::State::serve_client(uint64_t id) {
  Client& client = clients.at(id);
  if (!client.to_send.empty()) {
    flush_client(id, client);
    return answer_client(id);
  }
  std::array<char, 4096> buffer;
  ssize_t got = ::recv(client.fd.get(), buffer.data(), buffer.size(), 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0 || client.received.size() > kMaxMessage + 2) {
    std::erase_if(forwards, [&](const auto& entry) { return entry.second.client == id; });
    clients.erase(id);
    return;
  }
  client.deadline = SteadyClock::now() + kClientPatience;
  client.received.append(buffer.data(), static_cast<size_t>(got));
  answer_client(id);
}

/// Takes questions off a client's buffer, one at a time.
void DnsServer::State::answer_client(uint64_t id) {
  auto found = clients.find(id);
  if (found == clients.end()) return;
  Client& client = found->second;
  while (!client.waiting && client.to_send.empty()) {
    auto query = take_frame(client.received);
    if (!query) return;
    std::string container = client.container;
    handle(container, *std::move(query), id, {}, 0);
  }
}

/// What upstream has sent, once it is whole.
std::optional<std::string> DnsServer::State::read_reply(Forward& forward, bool& failed) {
  std::array<char, kMaxMessage> buffer;
  ssize_t got = ::recv(forward.fd.get(), buffer.data(), buffer.size(), 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return std::nullopt;
  // A refused port answers with ECONNREFUSED: no use in waiting for it.
  if (got < 0 || (got == 0 && forward.client != 0)) {
    failed = true;
    return std::nullopt;
  }
  std::string_view bytes(buffer.data(), static_cast<size_t>(got));
  if (forward.client == 0) return std::string(bytes);
  forward.received += bytes;
  return take_frame(forward.received);
}

void DnsServer::State::serve_forward(uint64_t id) {
  Forward& forward = forwards.at(id);
  if (!forward.sent) {
    std::string frame = framed(forward.query);
    // A fresh connection takes a whole query at once.
    if (::send(forward.fd.get(), frame.data(), frame.size(), MSG_NOSIGNAL) !=
        static_cast<ssize_t>(frame.size())) {
      return next_attempt(id);
    }
    forward.sent = true;
    (void)watch(forward.fd.get(), EPOLLIN, id, EPOLL_CTL_MOD);
    return;
  }
  bool failed = false;
  auto reply = read_reply(forward, failed);
  if (failed) return next_attempt(id);
  if (!reply || !is_dns_reply_to(*reply, forward.query)) return;  // what is no answer is not waited for less
  bool others = forward.attempt < containers.at(forward.container).upstream.size();
  if (others && is_dns_refusal(*reply)) return next_attempt(id);
  uint64_t client = forward.client;
  deliver(forward, *std::move(reply));
  forwards.erase(id);
  if (client != 0) answer_client(client);
}

void DnsServer::State::dispatch(uint64_t id) {
  auto listener = listeners.find(id);
  if (listener != listeners.end()) {
    std::string container = listener->second;
    if (containers.at(container).udp_id == id) {
      receive_datagrams(container);
    } else {
      accept_clients(container);
    }
  } else if (clients.contains(id)) {
    serve_client(id);
  } else if (forwards.contains(id)) {
    serve_forward(id);
  }
}

/// Deals with what has waited too long; answers the milliseconds until something will have, -1 for never.
int DnsServer::State::expire() {
  auto now = SteadyClock::now();
  std::vector<uint64_t> late;
  auto next = SteadyClock::time_point::max();
  for (const auto& [id, forward] : forwards) {
    if (forward.deadline <= now) late.push_back(id);
  }
  for (uint64_t id : late) next_attempt(id);
  for (const auto& [id, forward] : forwards) next = std::min(next, forward.deadline);
  std::erase_if(clients,
                [&](const auto& entry) { return !entry.second.waiting && entry.second.deadline <= now; });
  for (const auto& [id, client] : clients) {
    if (!client.waiting) next = std::min(next, client.deadline);
  }
  if (next == SteadyClock::time_point::max()) return -1;
  auto left = std::chrono::duration_cast<std::chrono::milliseconds>(next - now).count() + 1;
  return static_cast<int>(std::clamp<int64_t>(left, 1, 60000));
}

DnsServer::DnsServer() : state_(std::make_unique<State>()) {}

DnsServer::~DnsServer() {
  if (!thread_.joinable()) return;
  {
    std::lock_guard lock(state_->mutex);
    state_->stopping = true;
    ::eventfd_write(state_->wake.get(), 1);
  }
  thread_.join();
}

void DnsServer::set_network(const std::string& network_id, DnsNetwork network) {
  std::lock_guard lock(state_->mutex);
  if (network.endpoints.empty()) {
    state_->networks.erase(network_id);
  } else {
    state_->networks[network_id] = std::move(network);
  }
}

Result<void> DnsServer::serve(const std::string& container_id, const sys::NetworkNamespace& netns,
                              std::vector<std::string> network_ids, const std::vector<std::string>& upstream,
                              DnsLinks links) {
  TRY(DnsSockets sockets, open_dns_sockets(netns));
  std::lock_guard lock(state_->mutex);
  if (!state_->epoll || !state_->wake)
    return Error(Kind::Exhausted, "no descriptors left for the embedded DNS");
  state_->remove_container(container_id);
  State::Container container;
  container.networks = std::move(network_ids);
  container.links = std::move(links);
  for (const auto& server : upstream) {
    if (container.upstream.size() == kMaxUpstream) break;
    if (auto parsed = parse_upstream(server)) container.upstream.push_back(*parsed);
  }
  container.udp = std::move(sockets.udp);
  container.tcp = std::move(sockets.tcp);
  container.udp_id = state_->next_id++;
  container.tcp_id = state_->next_id++;
  CHECK(state_->watch(container.udp.get(), EPOLLIN, container.udp_id));
  CHECK(state_->watch(container.tcp.get(), EPOLLIN, container.tcp_id));
  state_->listeners[container.udp_id] = container_id;
  state_->listeners[container.tcp_id] = container_id;
  state_->containers[container_id] = std::move(container);
  if (!thread_.joinable()) {
    CHECK(state_->watch(state_->wake.get(), EPOLLIN, 0));
    thread_ = std::thread([this] { run(); });
  }
  return {};
}

void DnsServer::set_container_networks(const std::string& container_id,
                                       std::vector<std::string> network_ids) {
  std::lock_guard lock(state_->mutex);
  auto found = state_->containers.find(container_id);
  if (found != state_->containers.end()) found->second.networks = std::move(network_ids);
}

void DnsServer::stop(const std::string& container_id) {
  std::lock_guard lock(state_->mutex);
  state_->remove_container(container_id);
}

bool DnsServer::is_serving(const std::string& container_id) const {
  std::lock_guard lock(state_->mutex);
  return state_->containers.contains(container_id);
}

void DnsServer::run() {
  sigset_t all;  // signals are the main thread's
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, nullptr);
  std::array<epoll_event, 64> events;
  std::unique_lock lock(state_->mutex);
  while (!state_->stopping) {
    int timeout = state_->expire();
    int epoll = state_->epoll.get();
    lock.unlock();
    int count = ::epoll_wait(epoll, events.data(), static_cast<int>(events.size()), timeout);
    lock.lock();
    for (int i = 0; i < count; ++i) {
      if (events[static_cast<size_t>(i)].data.u64 != 0)
        state_->dispatch(events[static_cast<size_t>(i)].data.u64);
    }
  }
}

}  // namespace berth::network
