// Who reaches whom: containers, host, outside, published ports, isolation.
#include "network/test_world.h"

namespace berth::network {
namespace {

TEST_F(NetworksTest, TheDefaultNetworkIsThereFromTheStart) {
  EXPECT_THAT(link_names(), ElementsAre("lo", "uplink", "berth0"));
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
  EXPECT_EQ(a.endpoint.mac.bytes[0] & 3, 2) << "one of a host's own, and of a single station";
  EXPECT_NE(a.endpoint.mac, b.endpoint.mac);
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
  EXPECT_EQ(std::string(answer, static_cast<size_t>(std::max<ssize_t>(got, 0))), std::to_string(kBytes));
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

/// What the server says at a link-local address of the calling namespace's link, once that is there.
std::string ask_link_local(sys::RouteSocket& routes, const std::string& link, uint16_t port) {
  auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(kPatience);
  std::string said = "no link-local address";
  while (std::chrono::steady_clock::now() < deadline) {
    // The kernel makes the address, and takes a moment to see that nobody else has it.
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    uint32_t index = routes.link(link)->index;
    auto addresses = routes.addresses();
    for (const auto& address : *addresses) {
      if (address.link != index || !prefix("fe80::/10").contains(address.address.address)) continue;
      UniqueFd fd = socket_in(nullptr, AF_INET6, SOCK_STREAM);
      sockaddr_in6 target{};
      target.sin6_family = AF_INET6;
      target.sin6_port = htons(port);
      target.sin6_scope_id = index;
      std::memcpy(&target.sin6_addr, address.address.address.bytes().data(), 16);
      (void)::connect(fd.get(), reinterpret_cast<sockaddr*>(&target), sizeof(target));
      char buffer[64];
      if (!wait_for(fd.get(), POLLIN, kRefusal)) continue;
      ssize_t got = ::read(fd.get(), buffer, sizeof(buffer));
      said = got < 0 ? std::strerror(errno) : std::string(buffer, static_cast<size_t>(got));
      if (got > 0) return said;
    }
  }
  return said;
}

TEST_F(NetworksTest, LinkLocalAddressesOfTheHostAreServed) {
  Container web = run("web", {tcp(8080, 80)});
  EchoServer server(&web.netns, 80);
  EXPECT_EQ(ask_link_local(host_.routes(), "uplink", 8080), gateway(IpFamily::V6).to_string());
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

}  // namespace
}  // namespace berth::network
