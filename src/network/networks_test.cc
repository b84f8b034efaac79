// Networks against the real kernel, as root: everything happens in a private network namespace that stands
// for the host, with "outside" and the containers as further namespaces. The machine's own network is not
// touched.
#include "network/networks.h"

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
#include "network/socket_address.h"
#include "sys/nftables.h"

namespace berth::network {
namespace {

using sys::NetworkNamespace;
using sys::UniqueFd;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr int kPatience = 5000;  ///< milliseconds until a thing that should happen has not
constexpr int kRefusal = 300;    ///< milliseconds in which a thing that must not happen has not

IpAddress ip(std::string_view text) {
  return *IpAddress::parse(text);
}
IpPrefix prefix(std::string_view text) {
  return *IpPrefix::parse(text);
}

/// A socket made inside a namespace (nullptr: the calling thread's).
UniqueFd socket_in(const NetworkNamespace* netns, int family, int type) {
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

bool wait_for(int fd, short events, int milliseconds) {
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
std::string ask(const NetworkNamespace* from, const IpAddress& address, uint16_t port, int type = SOCK_STREAM,
                int patience = kPatience) {
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
void send_martian(const NetworkNamespace& from, const IpAddress& source, const MacAddress& to,
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

TEST_F(NetworksTest, NothingIsInTheKernelBeforeTheFirstContainer) {
  EXPECT_THAT(link_names(), ElementsAre("lo", "uplink"));
  EXPECT_THAT(tables(), IsEmpty());
  std::vector<std::string> names;
  for (const auto* network : networks_->list()) names.push_back(network->name);
  EXPECT_THAT(names, ElementsAre("bridge", "host", "none"));
  EXPECT_EQ((*networks_->find("default"))->name, "bridge");
  EXPECT_EQ(networks_->find("nope").error().message(), "network nope not found");
}

TEST_F(NetworksTest, ContainersReachEachOtherTheHostAndTheWorld) {
  Container a = run("a");
  Container b = run("b");
  EXPECT_EQ(a.endpoint.ipv4, prefix("172.17.0.2/16"));
  EXPECT_EQ(a.endpoint.mac.to_string(), "02:42:ac:11:00:02");
  EXPECT_EQ(a.netns.routes().link("eth0")->mac, a.endpoint.mac);
  EchoServer in_b(&b.netns, 80);
  EchoServer on_host(nullptr, 81);
  EchoServer beyond(&outside_, 82);
  EXPECT_EQ(ask(&a.netns, b.v4(), 80), a.v4().to_string());
  EXPECT_EQ(ask(&a.netns, b.v6(), 80), a.v6().to_string());
  EXPECT_EQ(ask(nullptr, b.v4(), 80), gateway(IpFamily::V4).to_string());
  EXPECT_EQ(ask(nullptr, b.v6(), 80), gateway(IpFamily::V6).to_string());
  EXPECT_EQ(ask(&a.netns, gateway(IpFamily::V4), 81), a.v4().to_string());
  // Masqueraded as the host.
  EXPECT_EQ(ask(&a.netns, ip(kOutsidePeer), 82), kOutsideHost);
  EXPECT_EQ(ask(&a.netns, ip("2001:db8::99"), 82), "2001:db8::2");
}

TEST_F(NetworksTest, PublishedPortFromEverywhere) {
  Container web = run("web", {tcp(8080, 80)});
  Container other = run("other");
  EchoServer server(&web.netns, 80);
  EXPECT_THAT(web.endpoint.ports, ElementsAre(PublishedPort{Protocol::Tcp, 80, ip("0.0.0.0"), 8080},
                                              PublishedPort{Protocol::Tcp, 80, ip("::"), 8080}));
  std::string gateway4 = gateway(IpFamily::V4).to_string();
  std::string gateway6 = gateway(IpFamily::V6).to_string();
  // From the host: loopback of both families, and its other addresses.
  EXPECT_EQ(ask(nullptr, ip("127.0.0.1"), 8080), gateway4);
  EXPECT_EQ(ask(nullptr, ip("127.1.2.3"), 8080), gateway4);
  EXPECT_EQ(ask(nullptr, ip("::1"), 8080), gateway6);
  EXPECT_EQ(ask(nullptr, ip(kOutsideHost), 8080), kOutsideHost);
  EXPECT_EQ(ask(nullptr, ip("2001:db8::2"), 8080), "2001:db8::2");
  EXPECT_EQ(ask(nullptr, gateway(IpFamily::V4), 8080), gateway4);
  // From outside, seen with its own address.
  EXPECT_EQ(ask(&outside_, ip(kOutsideHost), 8080), kOutsidePeer);
  EXPECT_EQ(ask(&outside_, ip("2001:db8::2"), 8080), "2001:db8::99");
  // From another container and from itself, through the host's addresses.
  for (const NetworkNamespace* from : {&other.netns, &web.netns}) {
    EXPECT_EQ(ask(from, gateway(IpFamily::V4), 8080), gateway4);
    EXPECT_EQ(ask(from, ip(kOutsideHost), 8080), gateway4);
    EXPECT_EQ(ask(from, gateway(IpFamily::V6), 8080), gateway6);
  }
}

TEST_F(NetworksTest, HairpinWhereBridgedPacketsPassTheIpHooks) {
  for (const char* value : {"0", "1"}) {
    if (!sys::write_sysctl("net/bridge/bridge-nf-call-iptables", value)) GTEST_SKIP() << "no br_netfilter";
    (void)sys::write_sysctl("net/bridge/bridge-nf-call-ip6tables", value);
    Container web = run(fmt::format("web{}", value), {tcp(8080, 80)});
    EchoServer server(&web.netns, 80);
    EXPECT_EQ(ask(&web.netns, gateway(IpFamily::V4), 8080), gateway(IpFamily::V4).to_string());
    EXPECT_EQ(ask(&web.netns, gateway(IpFamily::V6), 8080), gateway(IpFamily::V6).to_string());
    ASSERT_TRUE(networks_->detach(web.endpoint.id).has_value());
  }
}

TEST_F(NetworksTest, UdpIsPublishedToo) {
  Container web = run("web", {{Protocol::Udp, 53, {}, 5353, 5353}});
  EchoServer server(&web.netns, 53, SOCK_DGRAM);
  EXPECT_EQ(ask(nullptr, ip("127.0.0.1"), 5353, SOCK_DGRAM), gateway(IpFamily::V4).to_string());
  EXPECT_EQ(ask(nullptr, ip("::1"), 5353, SOCK_DGRAM), gateway(IpFamily::V6).to_string());
  EXPECT_EQ(ask(&outside_, ip(kOutsideHost), 5353, SOCK_DGRAM), kOutsidePeer);
}

TEST_F(NetworksTest, AUdpSenderThatGoesOnReachesTheNewContainer) {
  Container first = run("first", {{Protocol::Udp, 53, {}, 5353, 5353}});
  UniqueFd sender = socket_in(&outside_, AF_INET, SOCK_DGRAM);
  SocketAddress target(ip(kOutsideHost), 5353);
  ASSERT_EQ(::connect(sender.get(), target.get(), target.size()), 0);
  auto answer = [&] {
    char buffer[64];
    // A container that is gone may have left an error on the socket.
    while (::recv(sender.get(), buffer, sizeof(buffer), 0) >= 0 || errno != EAGAIN) continue;
    EXPECT_EQ(::send(sender.get(), "x", 1, 0), 1);
    if (!wait_for(sender.get(), POLLIN, kPatience)) return std::string("timeout");
    ssize_t got = ::recv(sender.get(), buffer, sizeof(buffer), 0);
    return got < 0 ? std::string(std::strerror(errno)) : std::string(buffer, static_cast<size_t>(got));
  };
  {
    EchoServer server(&first.netns, 53, SOCK_DGRAM);
    EXPECT_EQ(answer(), kOutsidePeer);
  }
  ASSERT_TRUE(networks_->detach(first.endpoint.id)->run().has_value());
  Container second = run("second", {{Protocol::Udp, 53, {}, 5353, 5353}});
  EchoServer server(&second.netns, 53, SOCK_DGRAM);
  EXPECT_EQ(answer(), kOutsidePeer);
}

TEST_F(NetworksTest, APortOnTheLoopbackStaysThere) {
  Container web = run("web", {tcp(8080, 80, ip("127.0.0.1"))});
  EchoServer server(&web.netns, 80);
  EXPECT_EQ(ask(nullptr, ip("127.0.0.1"), 8080), gateway(IpFamily::V4).to_string());
  EXPECT_EQ(ask(&outside_, ip(kOutsideHost), 8080), "Connection refused");
  EXPECT_EQ(ask(nullptr, ip(kOutsideHost), 8080), "Connection refused");
}

TEST_F(NetworksTest, NeighboursDoNotReachPortsOnTheLoopback) {
  Container web = run("web", {{Protocol::Udp, 53, ip("127.0.0.1"), 5353, 5353}});
  UniqueFd inside = socket_in(&web.netns, AF_INET, SOCK_DGRAM);
  SocketAddress any(ip("0.0.0.0"), 53);
  ASSERT_EQ(::bind(inside.get(), any.get(), any.size()), 0);
  send_martian(outside_, ip(kOutsidePeer), host_.routes().link("uplink")->mac, 5353);
  EXPECT_FALSE(wait_for(inside.get(), POLLIN, kRefusal));
}

TEST_F(NetworksTest, TheProxyCarriesBulkAndHalfClosedConnections) {
  constexpr size_t kBytes = 8u << 20;
  Container sink = run("sink", {tcp(8080, 80)});
  UniqueFd listener = socket_in(&sink.netns, AF_INET6, SOCK_STREAM);
  SocketAddress bound(ip("::"), 80);
  ASSERT_EQ(::bind(listener.get(), bound.get(), bound.size()), 0);
  ASSERT_EQ(::listen(listener.get(), 1), 0);
  // Counts until the client closes its sending side, then tells.
  std::thread server([&] {
    ASSERT_TRUE(wait_for(listener.get(), POLLIN, kPatience));
    UniqueFd client(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    size_t total = 0;
    std::vector<char> buffer(65536);
    for (ssize_t got; (got = ::read(client.get(), buffer.data(), buffer.size())) > 0;) total += got;
    std::string text = fmt::to_string(total);
    (void)!::write(client.get(), text.data(), text.size());
  });
  UniqueFd client(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  SocketAddress target(ip("::1"), 8080);
  ASSERT_EQ(::connect(client.get(), target.get(), target.size()), 0);
  std::string block(kBytes, 'x');
  ASSERT_EQ(::send(client.get(), block.data(), block.size(), MSG_NOSIGNAL), static_cast<ssize_t>(kBytes));
  ::shutdown(client.get(), SHUT_WR);
  ASSERT_TRUE(wait_for(client.get(), POLLIN, kPatience));
  char answer[32];
  ssize_t got = ::read(client.get(), answer, sizeof(answer));
  EXPECT_EQ(std::string(answer, static_cast<size_t>(std::max<ssize_t>(got, 0))), fmt::to_string(kBytes));
  server.join();
  // A container that refuses closes the client's connection.
  listener.reset();
  EXPECT_NE(ask(nullptr, ip("::1"), 8080), "timeout");
}

TEST_F(NetworksTest, RandomPortsAndRanges) {
  PortRequest any{Protocol::Tcp, 80, {}, 0, 0};
  PortRequest range{Protocol::Tcp, 81, ip("127.0.0.1"), 9000, 9010};
  Container a = run("a", {any, range});
  Container b = run("b", {any, range});
  ASSERT_EQ(a.endpoint.ports.size(), 3u);
  EXPECT_EQ(a.endpoint.ports[0].host_port, a.endpoint.ports[1].host_port);
  EXPECT_NE(a.endpoint.ports[0].host_port, b.endpoint.ports[0].host_port);
  EXPECT_EQ(a.endpoint.ports[2].host_port, 9000);
  EXPECT_EQ(b.endpoint.ports[2].host_port, 9001);
}

TEST_F(NetworksTest, ATakenPortLeavesNothingBehind) {
  Container web = run("web", {tcp(8080, 80)});
  auto netns = *NetworkNamespace::create();
  AttachRequest request{
      .container_id = "id-late", .container_name = "late", .ports = {tcp(8081, 80), tcp(8080, 80)}};
  request.network = "bridge";
  auto refused = networks_->attach(request, netns);
  ASSERT_FALSE(refused.has_value());
  EXPECT_THAT(refused.error().message(),
              HasSubstr("driver failed programming external connectivity on endpoint late ("));
  EXPECT_THAT(refused.error().message(),
              HasSubstr("Bind for 0.0.0.0:8080 failed: port is already allocated"));
  EXPECT_EQ(networks_->endpoints_of_container("id-late").size(), 0u);
  EXPECT_EQ(netns.routes().link("eth0").error().kind(), Kind::NotFound);
  // 8081 and the address are free again.
  request.ports = {tcp(8081, 80)};
  EXPECT_TRUE(networks_->attach(request, netns).has_value());
  EchoServer taken(nullptr, 8099);
  auto elsewhere = *NetworkNamespace::create();
  AttachRequest third{
      .network = "bridge", .container_id = "c", .container_name = "c", .ports = {tcp(8099, 80)}};
  EXPECT_THAT(networks_->attach(third, elsewhere).error().message(),
              HasSubstr("/tcp: address already in use"));
}

TEST_F(NetworksTest, NetworksAreIsolated) {
  NetworkRequest red{.name = "red", .enable_ipv6 = true};
  NetworkRequest closed{.name = "closed", .internal = true};
  ASSERT_TRUE(networks_->create(red).has_value());
  ASSERT_TRUE(networks_->create(closed).has_value());
  Container in_red = run("r", {tcp(8080, 80)}, "red");
  Container in_bridge = run("b");
  Container in_closed = run("c", {}, "closed");
  Container also_closed = run("d", {}, "closed");
  EchoServer red_server(&in_red.netns, 80);
  EchoServer closed_server(&also_closed.netns, 80);
  EchoServer beyond(&outside_, 82);
  EXPECT_EQ(ask(&in_bridge.netns, in_red.v4(), 80, SOCK_STREAM, kRefusal), "timeout");
  EXPECT_EQ(ask(&in_bridge.netns, in_red.v6(), 80, SOCK_STREAM, kRefusal), "timeout");
  // What is published is for everybody.
  EXPECT_EQ(ask(&in_bridge.netns, ip(kOutsideHost), 8080),
            (*networks_->find("red"))->pool(IpFamily::V4)->gateway.to_string());
  EXPECT_EQ(ask(&in_closed.netns, also_closed.v4(), 80), in_closed.v4().to_string());
  EXPECT_EQ(ask(&in_closed.netns, ip(kOutsidePeer), 82, SOCK_STREAM, kRefusal), "Network is unreachable");
  EXPECT_EQ(ask(nullptr, ip("::1"), 8080),
            (*networks_->find("red"))->pool(IpFamily::V6)->gateway.to_string());
}

TEST_F(NetworksTest, NeighboursCannotRouteToContainers) {
  Container web = run("web", {tcp(8080, 80)});
  EchoServer server(&web.netns, 80);
  sys::RouteBatch batch;
  batch.add_route({.destination = prefix("172.17.0.0/16"), .gateway = ip(kOutsideHost), .link = 2});
  ASSERT_TRUE(outside_.routes().run(batch).has_value());
  EXPECT_EQ(ask(&outside_, web.v4(), 80, SOCK_STREAM, kRefusal), "timeout");
}

TEST_F(NetworksTest, Ipv6OfTheHostServesAContainerWithoutIt) {
  ASSERT_TRUE(networks_->create({.name = "four"}).has_value());
  Container web = run("web", {tcp(8080, 80)}, "four");
  EXPECT_FALSE(web.endpoint.ipv6.has_value());
  EchoServer server(&web.netns, 80);
  std::string seen = (*networks_->find("four"))->pool(IpFamily::V4)->gateway.to_string();
  EXPECT_EQ(ask(nullptr, ip("::1"), 8080), seen);
  EXPECT_EQ(ask(&outside_, ip("2001:db8::2"), 8080), seen);
}

TEST_F(NetworksTest, WithoutInterContainerTraffic) {
  // Where bridged packets pass the IP hooks, redirected ones stay on the bridge and are isolated as well.
  (void)sys::write_sysctl("net/bridge/bridge-nf-call-iptables", "0");
  networks_.reset();
  networks_ = start({}, {}, {.inter_container = false});
  Container a = run("a", {tcp(8080, 80)});
  Container b = run("b");
  EchoServer server(&a.netns, 80);
  EXPECT_NE(ask(&b.netns, a.v4(), 80, SOCK_STREAM, kRefusal), b.v4().to_string());
  EXPECT_EQ(ask(&b.netns, gateway(IpFamily::V4), 8080), gateway(IpFamily::V4).to_string());
}

TEST_F(NetworksTest, ContainersDoNotReachTheHostsLoopback) {
  Container evil = run("evil");
  auto bridge = host_.routes().link("berth0");
  ASSERT_TRUE(bridge.has_value());
  UniqueFd secret = socket_in(nullptr, AF_INET, SOCK_DGRAM);
  SocketAddress loopback(ip("127.0.0.1"), 7777);
  ASSERT_EQ(::bind(secret.get(), loopback.get(), loopback.size()), 0);
  send_martian(evil.netns, evil.v4(), bridge->mac, 7777);
  EXPECT_FALSE(wait_for(secret.get(), POLLIN, kRefusal));
}

TEST_F(NetworksTest, DetachFreesAddressAndPortAtOnce) {
  Container web = run("web", {tcp(8080, 80)});
  auto removal = networks_->detach(web.endpoint.id);
  ASSERT_TRUE(removal.has_value());
  EXPECT_EQ(networks_->detach(web.endpoint.id).error().kind(), Kind::NotFound);
  EXPECT_EQ(ask(nullptr, ip("127.0.0.1"), 8080), "Connection refused");
  Container again = run("again", {tcp(8080, 80)});
  EchoServer server(&again.netns, 80);
  EXPECT_EQ(ask(nullptr, ip("127.0.0.1"), 8080), gateway(IpFamily::V4).to_string());
  EXPECT_THAT(link_names(), Contains(web.endpoint.host_link));
  ASSERT_TRUE(removal->run().has_value());
  EXPECT_THAT(link_names(), Not(Contains(web.endpoint.host_link)));
  EXPECT_TRUE(removal->run().has_value());
}

TEST_F(NetworksTest, ASecondNetworkForARunningContainer) {
  ASSERT_TRUE(networks_->create({.name = "red"}).has_value());
  Container a = run("a");
  Container b = run("b", {}, "red");
  // As the engine sees a running container: by the descriptor of its namespace.
  auto running = *NetworkNamespace::adopt(*UniqueFd(::dup(a.netns.fd())).duplicate());
  AttachRequest request{.network = "red", .container_id = "id-a", .container_name = "a"};
  request.interface = "eth1";
  request.default_gateway = false;
  auto attached = networks_->attach(request, running);
  ASSERT_TRUE(attached.has_value()) << attached.error().message();
  EchoServer server(&b.netns, 80);
  EXPECT_EQ(ask(&a.netns, b.v4(), 80), (*attached)->ipv4->address.to_string());
  EXPECT_THAT(networks_->attach(request, running).error().message(),
              HasSubstr("endpoint with name a already exists in network red"));
  EXPECT_EQ(networks_->endpoints_of_container("id-a").size(), 2u);
  EXPECT_THAT(networks_->remove("red").error().message(),
              HasSubstr("network red has active endpoints (name:\""));
}

TEST_F(NetworksTest, StatisticsAreSeenFromInside) {
  Container a = run("a");
  EchoServer server(&a.netns, 80);
  ASSERT_NE(ask(nullptr, a.v4(), 80), "timeout");
  auto statistics = networks_->statistics(a.endpoint.id);
  ASSERT_TRUE(statistics.has_value());
  EXPECT_EQ(statistics->name, "eth0");
  auto inside = a.netns.routes().statistics("eth0");
  EXPECT_GT(statistics->rx_bytes, 0u);
  EXPECT_EQ(statistics->rx_packets, inside->rx_packets);
  EXPECT_EQ(statistics->tx_packets, inside->tx_packets);
}

TEST_F(NetworksTest, AKilledDaemonsContainersGoOn) {
  ASSERT_TRUE(networks_->create({.name = "red"}).has_value());
  Container web = run("web", {tcp(8080, 80)});
  Container lost = run("lost");
  EchoServer server(&web.netns, 80);
  std::vector<NetworkRecord> records;
  for (const auto* network : networks_->list()) records.push_back(*decode_network(encode(*network)));
  // The engine has recorded web, but not yet lost.
  networks_.reset();
  EXPECT_EQ(ask(nullptr, ip("127.0.0.1"), 8080), "172.17.0.1");
  networks_ = start(records, {*decode_endpoint(encode(web.endpoint))});
  EXPECT_THAT(recovery_.repairs, Contains(HasSubstr("belongs to no container")));
  EXPECT_THAT(recovery_.stale.host_links, ElementsAre(lost.endpoint.host_link));
  ASSERT_TRUE(recovery_.stale.run().has_value());
  EXPECT_EQ(ask(nullptr, ip("127.0.0.1"), 8080), "172.17.0.1");
  EXPECT_EQ(ask(nullptr, ip("::1"), 8080), gateway(IpFamily::V6).to_string());
  Container next = run("next");
  EXPECT_NE(next.v4(), web.v4());
  EXPECT_EQ(ask(&next.netns, web.v4(), 80), next.v4().to_string());
}

TEST_F(NetworksTest, WhatOthersDeleteIsMadeAnew) {
  Container first = run("first", {tcp(8080, 80)});
  sys::NftTransaction flush;
  flush.delete_table(sys::NftFamily::Ip, "berth").delete_table(sys::NftFamily::Ip6, "berth");
  ASSERT_TRUE(sys::NftSocket::open()->commit(flush).has_value());
  Container second = run("second", {tcp(8081, 80)});
  EchoServer one(&first.netns, 80);
  EchoServer two(&second.netns, 80);
  EXPECT_EQ(ask(&outside_, ip(kOutsideHost), 8080), kOutsidePeer);
  EXPECT_EQ(ask(&outside_, ip(kOutsideHost), 8081), kOutsidePeer);
  ASSERT_TRUE((LinkRemoval{{"berth0"}}.run().has_value()));
  Container third = run("third", {tcp(8082, 80)});
  EchoServer three(&third.netns, 80);
  EXPECT_EQ(ask(&outside_, ip(kOutsideHost), 8082), kOutsidePeer);
  EXPECT_EQ(ask(&outside_, ip(kOutsideHost), 8080), kOutsidePeer);
}

TEST_F(NetworksTest, ShutDownLeavesNothing) {
  ASSERT_TRUE(networks_->create({.name = "red"}).has_value());
  Container web = run("web", {tcp(8080, 80)});
  Container red = run("red", {}, "red");
  EXPECT_EQ(networks_->shut_down().error().kind(), Kind::WrongState);
  for (const auto& container : {&web, &red}) {
    auto removal = networks_->detach(container->endpoint.id);
    ASSERT_TRUE(removal->run().has_value());
  }
  auto done = networks_->shut_down();
  ASSERT_TRUE(done.has_value()) << done.error().message();
  EXPECT_THAT(link_names(), ElementsAre("lo", "uplink"));
  EXPECT_THAT(tables(), IsEmpty());
}

/// A query for an A record, as a resolver sends it.
std::string dns_query(std::string_view name) {
  std::string query = {0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0};
  query += static_cast<char>(name.size());
  query += name;
  query += {0, 0, 1, 0, 1};
  return query;
}

/// The last four bytes of the reply as an address, or what went wrong.
std::string resolve(const NetworkNamespace& from, std::string_view name, int type = SOCK_DGRAM) {
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

TEST_F(NetworksTest, EmbeddedDnsOnUserDefinedNetworks) {
  ASSERT_TRUE(networks_->create({.name = "red"}).has_value());
  ASSERT_TRUE(networks_->create({.name = "closed", .internal = true}).has_value());
  Upstream upstream(ip("127.0.0.2"));
  Container plain = run("plain");
  EXPECT_FALSE(networks_->needs_dns("id-plain"));
  Container a = run("a", {}, "red");
  Container b = run("b", {}, "red");
  Container hidden = run("hidden", {}, "closed");
  ASSERT_TRUE(networks_->needs_dns("id-a"));
  // A first server that refuses is passed over.
  std::vector<std::string> servers = {"127.0.0.3", "not an address", "127.0.0.2"};
  auto served = networks_->serve_dns("id-a", a.netns, servers);
  ASSERT_TRUE(served.has_value()) << served.error().message();
  ASSERT_TRUE(networks_->serve_dns("id-hidden", hidden.netns, servers).has_value());
  EXPECT_EQ(resolve(a.netns, "b"), b.v4().to_string());
  EXPECT_EQ(resolve(a.netns, "b", SOCK_STREAM), b.v4().to_string());
  EXPECT_EQ(resolve(a.netns, "elsewhere"), "203.0.113.7");
  EXPECT_EQ(resolve(hidden.netns, "elsewhere"), "code 2");
  EXPECT_EQ(resolve(hidden.netns, "a"), "code 2");
  EXPECT_EQ(resolve(hidden.netns, "hidden"), hidden.v4().to_string());
  networks_->rename_container("id-b", "c");
  EXPECT_EQ(resolve(a.netns, "c"), b.v4().to_string());
  // The container may have a DNS server of its own, on all its addresses.
  EchoServer own(&a.netns, 53, SOCK_STREAM, ip("0.0.0.0"));
  EXPECT_EQ(resolve(a.netns, "c", SOCK_STREAM), b.v4().to_string());
  // A new daemon takes over.
  ASSERT_TRUE(networks_->serve_dns("id-a", a.netns, servers).has_value());
  EXPECT_EQ(resolve(a.netns, "c"), b.v4().to_string());
  ASSERT_TRUE(networks_->detach(b.endpoint.id).has_value());
  EXPECT_EQ(resolve(a.netns, "c"), "203.0.113.7");
}

TEST_F(NetworksTest, TwoEnginesSideBySide) {
  Container mine = run("mine", {tcp(8080, 80)});
  auto second = start({}, {}, {.instance = "0a1b2c3d"});
  auto netns = *NetworkNamespace::create();
  auto attached = second->attach(
      {.network = "bridge", .container_id = "x", .container_name = "x", .ports = {tcp(8081, 80)}}, netns);
  ASSERT_TRUE(attached.has_value()) << attached.error().message();
  EXPECT_EQ((*attached)->ipv4, prefix("172.18.0.2/16"));
  EchoServer here(&mine.netns, 80);
  EchoServer there(&netns, 80);
  EXPECT_EQ(ask(&outside_, ip(kOutsideHost), 8080), kOutsidePeer);
  EXPECT_EQ(ask(&outside_, ip(kOutsideHost), 8081), kOutsidePeer);
  std::string id = (*attached)->id;
  ASSERT_TRUE(second->detach(id)->run().has_value());
  ASSERT_TRUE(second->shut_down().has_value());
  EXPECT_THAT(tables(), ElementsAre("berth", "berth"));
  EXPECT_EQ(ask(&outside_, ip(kOutsideHost), 8080), kOutsidePeer);
}

}  // namespace
}  // namespace berth::network
