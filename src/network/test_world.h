// A small world for tests of Networks against the real kernel, as root: a private network namespace stands
// for the host, with "outside" and the containers as further namespaces; servers and clients speak across
// them. The machine's own network is not touched.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <algorithm>
#include <thread>
#include "base/format.h"
#include "network/network_plan.h"
#include "network/networks.h"
#include "network/socket_address.h"
#include "sys/nftables.h"

namespace berth::network {

using sys::NetworkNamespace;
using sys::UniqueFd;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr int kPatience = 5000;  ///< milliseconds until a thing that should happen has not
constexpr int kRefusal = 300;    ///< milliseconds in which a thing that must not happen has not

inline IpAddress ip(std::string_view text) {
  return *IpAddress::parse(text);
}
inline IpPrefix prefix(std::string_view text) {
  return *IpPrefix::parse(text);
}

/// A socket made inside a namespace (nullptr: the calling thread's).
inline UniqueFd socket_in(const NetworkNamespace* netns, int family, int type) {
  UniqueFd fd;
  auto make = [&]() -> Result<void> {
    fd.reset(::socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    return {};
  };
  if (netns == nullptr) {
    (void)make();
  } else {
    EXPECT_TRUE(netns->run_inside(make).has_value());
  }
  return fd;
}

inline bool wait_for(int fd, short events, int milliseconds) {
  pollfd poll{fd, events, 0};
  return ::poll(&poll, 1, milliseconds) == 1;
}

/// Answers every connection, or datagram, with the address it came from.
class EchoServer {
 public:
  EchoServer(const NetworkNamespace* netns, uint16_t port, int type = SOCK_STREAM,
             IpAddress address = IpAddress::any(IpFamily::V6))
      : stream_(type == SOCK_STREAM), fd_(socket_in(netns, address.address_family(), type)) {
    int off = 0;
    int on = 1;
    if (address.is_v6()) ::setsockopt(fd_.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    SocketAddress bound(address, port);
    EXPECT_EQ(::bind(fd_.get(), bound.get(), bound.size()), 0) << std::strerror(errno);
    if (stream_) {
      EXPECT_EQ(::listen(fd_.get(), 16), 0);
    }
    stop_ = *sys::make_pipe();
    thread_ = std::thread([this] { run(); });
  }
  ~EchoServer() {
    stop_.write.reset();
    thread_.join();
  }
  EchoServer(const EchoServer&) = delete;

 private:
  static std::string text_of(const sockaddr_storage& peer) {
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&peer);
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(&peer);
    char text[INET6_ADDRSTRLEN] = {};
    if (peer.ss_family == AF_INET) return ::inet_ntop(AF_INET, &v4->sin_addr, text, sizeof(text));
    ::inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof(text));
    std::string_view view(text);
    return std::string(view.starts_with("::ffff:") ? view.substr(7) : view);
  }
  void run() {
    while (true) {
      pollfd polls[2] = {{fd_.get(), POLLIN, 0}, {stop_.read.get(), POLLIN, 0}};
      ::poll(polls, 2, -1);
      if (polls[1].revents != 0) return;
      sockaddr_storage peer{};
      socklen_t size = sizeof(peer);
      auto* address = reinterpret_cast<sockaddr*>(&peer);
      if (stream_) {
        UniqueFd client(::accept4(fd_.get(), address, &size, SOCK_CLOEXEC));
        std::string text = text_of(peer);
        if (client) (void)!::write(client.get(), text.data(), text.size());
      } else {
        char buffer[64];
        if (::recvfrom(fd_.get(), buffer, sizeof(buffer), 0, address, &size) < 0) continue;
        std::string text = text_of(peer);
        ::sendto(fd_.get(), text.data(), text.size(), 0, address, size);
      }
    }
  }
  bool stream_;
  UniqueFd fd_;
  sys::Pipe stop_;
  std::thread thread_;
};

/// What the server at the address says, or an error's name.
inline std::string ask(const NetworkNamespace* from, const IpAddress& address, uint16_t port,
                       int type = SOCK_STREAM, int patience = kPatience) {
  UniqueFd fd = socket_in(from, address.address_family(), type);
  SocketAddress target(address, port);
  if (::connect(fd.get(), target.get(), target.size()) != 0 && errno != EINPROGRESS)
    return std::strerror(errno);
  if (type == SOCK_DGRAM) {
    (void)!::write(fd.get(), "x", 1);
  } else {
    if (!wait_for(fd.get(), POLLOUT, patience)) return "timeout";
    int error = 0;
    socklen_t size = sizeof(error);
    ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return std::strerror(error);
  }
  if (!wait_for(fd.get(), POLLIN, patience)) return "timeout";
  char buffer[128];
  ssize_t got = ::read(fd.get(), buffer, sizeof(buffer));
  return got < 0 ? std::strerror(errno) : std::string(buffer, static_cast<size_t>(got));
}

struct Container {
  NetworkNamespace netns;
  EndpointRecord endpoint;
  IpAddress v4() const { return endpoint.ipv4->address; }
  IpAddress v6() const { return endpoint.ipv6->address; }
};

/// A UDP datagram to 127.0.0.1 sent straight to a MAC, as only a hostile container or neighbour does. The
/// sender's link is the second of its namespace.
inline void send_martian(const NetworkNamespace& from, const IpAddress& source, const MacAddress& to,
                         uint16_t port) {
  UniqueFd fd = socket_in(&from, AF_PACKET, SOCK_DGRAM);
  struct __attribute__((packed)) {
    iphdr ip;
    udphdr udp;
    char data[4];
  } packet{};
  packet.ip.version = 4;
  packet.ip.ihl = 5;
  packet.ip.ttl = 64;
  packet.ip.protocol = IPPROTO_UDP;
  packet.ip.tot_len = htons(sizeof(packet));
  std::memcpy(&packet.ip.saddr, source.bytes().data(), 4);
  packet.ip.daddr = htonl(INADDR_LOOPBACK);
  uint32_t sum = 0;
  uint16_t words[10];
  std::memcpy(words, &packet.ip, sizeof(words));
  for (uint16_t word : words) sum += word;
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  packet.ip.check = static_cast<uint16_t>(~sum);
  packet.udp.source = packet.udp.dest = htons(port);
  packet.udp.len = htons(sizeof(packet.udp) + sizeof(packet.data));
  sockaddr_ll target{};
  target.sll_family = AF_PACKET;
  target.sll_protocol = htons(ETH_P_IP);
  target.sll_ifindex = 2;
  target.sll_halen = 6;
  std::copy(to.bytes.begin(), to.bytes.end(), target.sll_addr);
  ASSERT_EQ(
      ::sendto(fd.get(), &packet, sizeof(packet), 0, reinterpret_cast<sockaddr*>(&target), sizeof(target)),
      static_cast<ssize_t>(sizeof(packet)));
}

class NetworksTest : public ::testing::Test {
 protected:
  static constexpr char kOutsideHost[] = "192.0.2.2";   ///< the host's address towards the outside
  static constexpr char kOutsidePeer[] = "192.0.2.99";  ///< a neighbour there

  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "network namespaces need root";
    home_ = *sys::open_file("/proc/thread-self/ns/net", O_RDONLY);
    auto host = NetworkNamespace::create();
    ASSERT_TRUE(host.has_value()) << host.error().message();
    host_ = *std::move(host);
    ASSERT_EQ(::setns(host_.fd(), CLONE_NEWNET), 0);
    // Whatever the machine does: the engine is to switch it on.
    ASSERT_TRUE(sys::write_sysctl("net/ipv4/ip_forward", "0").has_value());
    ASSERT_TRUE(sys::write_sysctl("net/ipv6/conf/all/forwarding", "0").has_value());
    make_outside();
    networks_ = start({}, {});
  }
  void TearDown() override {
    networks_.reset();
    if (home_) {
      ASSERT_EQ(::setns(home_.get(), CLONE_NEWNET), 0);
    }
  }

  void make_outside() {
    outside_ = *NetworkNamespace::create();
    sys::RouteBatch pair;
    pair.create_veth({.name = "uplink", .peer_netns = outside_.fd(), .peer_name = "lan"});
    ASSERT_TRUE(host_.routes().run(pair).has_value());
    uint32_t uplink = host_.routes().link("uplink")->index;
    sys::RouteBatch here;
    here.add_address({uplink, prefix("192.0.2.2/24")}).add_address({uplink, prefix("2001:db8::2/64")});
    here.add_route({.destination = prefix("0.0.0.0/0"), .gateway = ip(kOutsidePeer), .link = uplink});
    sys::RouteBatch there;
    there.change_link({.index = 2, .up = true});
    there.add_address({2, prefix("192.0.2.99/24")}).add_address({2, prefix("2001:db8::99/64")});
    auto ran = outside_.routes().run(there);
    ASSERT_TRUE(ran.has_value()) << ran.error().message();
    ran = host_.routes().run(here);
    ASSERT_TRUE(ran.has_value()) << ran.error().message();
  }

  std::unique_ptr<Networks> start(std::vector<NetworkRecord> networks, std::vector<EndpointRecord> endpoints,
                                  NetworkOptions options = {}) {
    auto opened = Networks::open(options);
    EXPECT_TRUE(opened.has_value()) << (opened ? "" : opened.error().message());
    auto recovery = (*opened)->recover(std::move(networks), std::move(endpoints));
    EXPECT_TRUE(recovery.has_value()) << (recovery ? "" : recovery.error().message());
    if (recovery) recovery_ = *std::move(recovery);
    return *std::move(opened);
  }

  Container run(std::string name, std::vector<PortRequest> ports = {}, std::string network = "bridge") {
    Container container{*NetworkNamespace::create(sys::default_network_sysctls()), {}};
    auto attached = networks_->attach({.network = std::move(network),
                                       .container_id = "id-" + name,
                                       .container_name = name,
                                       .ports = std::move(ports)},
                                      container.netns);
    EXPECT_TRUE(attached.has_value()) << (attached ? "" : attached.error().message());
    if (attached) container.endpoint = **attached;
    return container;
  }

  static PortRequest tcp(uint16_t host, uint16_t inside, std::optional<IpAddress> address = {}) {
    return {Protocol::Tcp, inside, address, host, host};
  }

  std::vector<std::string> link_names() {
    std::vector<std::string> names;
    auto links = host_.routes().links();
    for (const auto& link : *links) names.push_back(link.name);
    return names;
  }
  std::vector<std::string> tables() {
    auto socket = sys::NftSocket::open();
    auto names = *socket->tables(sys::NftFamily::Ip);
    auto v6 = *socket->tables(sys::NftFamily::Ip6);
    names.insert(names.end(), v6.begin(), v6.end());
    return names;
  }
  IpAddress gateway(IpFamily family) { return (*networks_->find("bridge"))->pool(family)->gateway; }

  UniqueFd home_;
  NetworkNamespace host_;
  NetworkNamespace outside_;
  std::unique_ptr<Networks> networks_;
  Recovery recovery_;
};

/// A query for an A record, as a resolver sends it.
inline std::string dns_query(std::string_view name) {
  std::string query = {0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0};
  query += static_cast<char>(name.size());
  query += name;
  query += {0, 0, 1, 0, 1};
  return query;
}

/// The last four bytes of the reply as an address, or what went wrong.
inline std::string resolve(const NetworkNamespace& from, std::string_view name, int type = SOCK_DGRAM) {
  UniqueFd fd = socket_in(&from, AF_INET, type);
  SocketAddress server(ip("127.0.0.11"), 53);
  if (::connect(fd.get(), server.get(), server.size()) != 0 && errno != EINPROGRESS)
    return std::strerror(errno);
  if (!wait_for(fd.get(), POLLOUT, kPatience)) return "timeout";
  std::string query = dns_query(name);
  if (type == SOCK_STREAM) query = std::string{0, static_cast<char>(query.size())} + query;
  EXPECT_EQ(::send(fd.get(), query.data(), query.size(), MSG_NOSIGNAL), static_cast<ssize_t>(query.size()));
  if (!wait_for(fd.get(), POLLIN, kPatience)) return "timeout";
  char buffer[512];
  ssize_t got = ::recv(fd.get(), buffer, sizeof(buffer), 0);
  size_t header = type == SOCK_STREAM ? 2 : 0;
  if (got < static_cast<ssize_t>(query.size())) return "short reply";
  if (int code = buffer[header + 3] & 15; code != 0) return fmt::format("code {}", code);
  if (buffer[header + 7] == 0) return "no address";
  return IpAddress::from_bytes({reinterpret_cast<uint8_t*>(buffer) + got - 4, 4})->to_string();
}

/// A name server of the outside that knows one answer to everything.
class Upstream {
 public:
  explicit Upstream(const IpAddress& address) : fd_(socket_in(nullptr, AF_INET, SOCK_DGRAM)) {
    SocketAddress bound(address, 53);
    EXPECT_EQ(::bind(fd_.get(), bound.get(), bound.size()), 0);
    stop_ = *sys::make_pipe();
    thread_ = std::thread([this] { run(); });
  }
  ~Upstream() {
    stop_.write.reset();
    thread_.join();
  }

 private:
  void run() {
    while (true) {
      pollfd polls[2] = {{fd_.get(), POLLIN, 0}, {stop_.read.get(), POLLIN, 0}};
      ::poll(polls, 2, -1);
      if (polls[1].revents != 0) return;
      char buffer[512];
      sockaddr_storage peer{};
      socklen_t size = sizeof(peer);
      ssize_t got =
          ::recvfrom(fd_.get(), buffer, sizeof(buffer), 0, reinterpret_cast<sockaddr*>(&peer), &size);
      if (got < 12) continue;
      std::string reply(buffer, static_cast<size_t>(got));
      reply[2] = static_cast<char>(0x81);
      reply[7] = 1;
      reply += std::string("\xc0\x0c\0\1\0\1\0\0\0\x1e\0\4\xcb\0\x71\7", 16);
      ::sendto(fd_.get(), reply.data(), reply.size(), 0, reinterpret_cast<sockaddr*>(&peer), size);
    }
  }
  UniqueFd fd_;
  sys::Pipe stop_;
  std::thread thread_;
};

}  // namespace berth::network
