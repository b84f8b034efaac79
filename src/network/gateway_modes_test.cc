// Gateway modes: who reaches containers at their own addresses.
#include "network/gateway_mode.h"

#include "network/test_world.h"

namespace berth::network {
namespace {

constexpr char kRedSubnet4[] = "172.30.0.0/24";
constexpr char kRedSubnet6[] = "fd00:30::/64";

class GatewayModes : public NetworksTest {
 protected:
  /// The network "red", to which the neighbour outside has routes.
  void make_red(const std::string& mode, std::map<std::string, std::string> options = {}) {
    options[std::string(kOptionGatewayMode4)] = mode;
    options[std::string(kOptionGatewayMode6)] = mode;
    NetworkRequest request{.name = "red", .enable_ipv6 = true, .options = std::move(options)};
    request.pools = {{.subnet = prefix(kRedSubnet4)}, {.subnet = prefix(kRedSubnet6)}};
    auto made = networks_->create(request);
    ASSERT_TRUE(made.has_value()) << made.error().message();
    if (routed_) return;
    sys::RouteBatch batch;
    batch.add_route({.destination = prefix(kRedSubnet4), .gateway = ip(kOutsideHost), .link = 2});
    batch.add_route({.destination = prefix(kRedSubnet6), .gateway = ip("2001:db8::2"), .link = 2});
    ASSERT_TRUE(outside_.routes().run(batch).has_value());
    routed_ = true;
  }

  void again(NetworkOptions options) {
    networks_.reset();
    networks_ = start({}, {}, std::move(options));
  }

  /// What the neighbour is told at the container's own addresses, by both families.
  void expect_direct(const Container& container, uint16_t port) {
    EXPECT_EQ(ask(&outside_, container.v4(), port), kOutsidePeer);
    EXPECT_EQ(ask(&outside_, container.v6(), port), "2001:db8::99");
  }
  void expect_closed(const NetworkNamespace& from, const Container& container, uint16_t port) {
    EXPECT_EQ(ask(&from, container.v4(), port, SOCK_STREAM, kRefusal), "timeout");
    EXPECT_EQ(ask(&from, container.v6(), port, SOCK_STREAM, kRefusal), "timeout");
  }

  bool routed_ = false;
};

TEST_F(GatewayModes, RoutedOpensWhatIsPublishedAtTheContainersOwnAddress) {
  make_red("routed");
  Container web = run("web", {tcp(8080, 80)}, "red");
  EXPECT_THAT(web.endpoint.ports, ElementsAre(PublishedPort{Protocol::Tcp, 80, ip("0.0.0.0"), 0},
                                              PublishedPort{Protocol::Tcp, 80, ip("::"), 0}));
  EchoServer open(&web.netns, 80);
  EchoServer closed(&web.netns, 81);
  expect_direct(web, 80);
  expect_closed(outside_, web, 81);
  EXPECT_EQ(ask(&outside_, ip(kOutsideHost), 8080), "Connection refused");
  EXPECT_EQ(ask(nullptr, ip("127.0.0.1"), 8080), "Connection refused");
  // The container is seen with its own address.
  EchoServer beyond(&outside_, 82);
  EXPECT_EQ(ask(&web.netns, ip(kOutsidePeer), 82), web.v4().to_string());
}

TEST_F(GatewayModes, ContainersOfOtherNetworksReachARoutedOneAndNotTheOtherWayRound) {
  make_red("routed");
  Container web = run("web", {tcp(0, 80)}, "red");
  Container other = run("other", {tcp(8080, 80)});
  EchoServer open(&web.netns, 80);
  EchoServer closed(&web.netns, 81);
  EchoServer in_other(&other.netns, 80);
  EXPECT_EQ(ask(&other.netns, web.v4(), 80), "172.30.0.1");
  expect_closed(other.netns, web, 81);
  expect_closed(web.netns, other, 80);
}

TEST_F(GatewayModes, OneFamilyIsRoutedAndTheOtherTranslated) {
  NetworkRequest request{.name = "half", .enable_ipv6 = true};
  request.options[std::string(kOptionGatewayMode6)] = "routed";
  ASSERT_TRUE(networks_->create(request).has_value());
  Container web = run("web", {tcp(8080, 80), {Protocol::Udp, 53, ip("::1"), 53, 53}}, "half");
  EXPECT_THAT(web.endpoint.ports, ElementsAre(PublishedPort{Protocol::Tcp, 80, ip("0.0.0.0"), 8080},
                                              PublishedPort{Protocol::Tcp, 80, ip("::"), 0},
                                              PublishedPort{Protocol::Udp, 53, ip("::"), 0}));
  EchoServer server(&web.netns, 80);
  EXPECT_EQ(ask(&outside_, ip(kOutsideHost), 8080), kOutsidePeer);
}

TEST_F(GatewayModes, UnprotectedContainersAreReachedAtAllTheirPorts) {
  make_red("nat-unprotected");
  Container web = run("web", {tcp(8080, 80)}, "red");
  Container other = run("other");
  EchoServer published(&web.netns, 80);
  EchoServer unpublished(&web.netns, 81);
  expect_direct(web, 80);
  expect_direct(web, 81);
  EXPECT_EQ(ask(&outside_, ip(kOutsideHost), 8080), kOutsidePeer);
  expect_closed(other.netns, web, 81);
}

TEST_F(GatewayModes, DirectRoutingOpensPublishedPortsOfEveryNetwork) {
  again({.direct_routing = true});
  make_red("nat");
  Container web = run("web", {tcp(8080, 80)}, "red");
  Container other = run("other");
  EchoServer published(&web.netns, 80);
  EchoServer unpublished(&web.netns, 81);
  expect_direct(web, 80);
  expect_closed(outside_, web, 81);
  expect_closed(other.netns, web, 80);
}

TEST_F(GatewayModes, NeighboursOfATrustedInterfaceReachPublishedPorts) {
  make_red("nat", {{std::string(kOptionTrusted), "nowhere:uplink"}});
  Container web = run("web", {tcp(8080, 80)}, "red");
  EchoServer published(&web.netns, 80);
  EchoServer unpublished(&web.netns, 81);
  expect_direct(web, 80);
  expect_closed(outside_, web, 81);
}

TEST_F(GatewayModes, APortThatIsPublishedTwiceIsOpenUntilBothAreEnded) {
  again({.direct_routing = true});
  make_red("nat");
  Container web = run("web", {tcp(8080, 80)}, "red");
  EchoServer server(&web.netns, 80);
  auto second = networks_->publish_ports(web.endpoint.id, {tcp(8081, 80)});
  ASSERT_TRUE(second.has_value()) << second.error().message();
  ASSERT_TRUE(networks_->unpublish_ports(web.endpoint.id, web.endpoint.ports).has_value());
  expect_direct(web, 80);
  ASSERT_TRUE(networks_->unpublish_ports(web.endpoint.id, *second).has_value());
  expect_closed(outside_, web, 80);
}

TEST_F(GatewayModes, TheNextDaemonOpensTheSame) {
  make_red("routed");
  Container web = run("web", {tcp(8080, 80)}, "red");
  EchoServer server(&web.netns, 80);
  std::vector<NetworkRecord> networks;
  for (const auto* network : networks_->list()) networks.push_back(*decode_network(encode(*network)));
  std::vector<EndpointRecord> endpoints = {*decode_endpoint(encode(web.endpoint))};
  networks_.reset();
  networks_ = start(std::move(networks), std::move(endpoints));
  expect_direct(web, 80);
  ASSERT_TRUE(networks_->detach(web.endpoint.id).has_value());
}

TEST_F(GatewayModes, UnknownOnesAreRefused) {
  NetworkRequest request{.name = "red"};
  for (const char* mode : {"isolated", "x"}) {
    request.options = {{std::string(kOptionGatewayMode4), mode}};
    EXPECT_EQ(networks_->create(request).error().kind(), Kind::InvalidArgument) << mode;
  }
  request.options = {{std::string(kOptionTrusted), "no/interface"}};
  EXPECT_EQ(networks_->create(request).error().kind(), Kind::InvalidArgument);
}

}  // namespace
}  // namespace berth::network
