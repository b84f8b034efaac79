// The life of networks and endpoints: attach, detach, names, recovery, removal.
#include "network/test_world.h"

namespace berth::network {
namespace {

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
  // While its link was there the address was not given to another; now the lowest free one comes first.
  EXPECT_NE(again.v4(), web.v4());
  EXPECT_EQ(run("third").v4(), web.v4());
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

TEST_F(NetworksTest, NeighboursHearOfAnotherMacAddress) {
  ASSERT_TRUE(networks_->create({.name = "red", .pools = {{.subnet = prefix("10.3.0.0/24")}}}).has_value());
  Container client = run("client", {}, "red");
  auto run_as = [&](std::string_view mac) {
    Container web{*NetworkNamespace::create(sys::default_network_sysctls()), {}};
    AttachRequest request{.network = "red", .container_id = "id-web", .container_name = "web"};
    request.ipv4 = ip("10.3.0.9");
    request.mac = *MacAddress::parse(mac);
    auto attached = networks_->attach(request, web.netns);
    EXPECT_TRUE(attached.has_value()) << (attached ? "" : attached.error().message());
    if (attached) web.endpoint = **attached;
    networks_->announce(web.endpoint.id, web.netns.fd());
    return web;
  };
  {
    Container first = run_as("02:42:00:00:00:01");
    EchoServer server(&first.netns, 80);
    EXPECT_EQ(ask(&client.netns, ip("10.3.0.9"), 80), client.v4().to_string());
    ASSERT_TRUE(networks_->detach(first.endpoint.id)->run().has_value());
  }
  Container second = run_as("02:42:00:00:00:02");
  EchoServer server(&second.netns, 80);
  EXPECT_EQ(ask(&client.netns, ip("10.3.0.9"), 80), client.v4().to_string());
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
  // The policy that keeps the host from routing for everybody stays, as forwarding does.
  EXPECT_THAT(tables(), ElementsAre("filter", "filter"));
}

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
  auto second = start({}, {}, {.instance = "0a1b2c3d"});
  Container mine = run("mine", {tcp(8080, 80)});
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
  EXPECT_THAT(tables(), ElementsAre("berth", "filter", "berth", "filter"));
  EXPECT_EQ(ask(&outside_, ip(kOutsideHost), 8080), kOutsidePeer);
}

}  // namespace
}  // namespace berth::network
