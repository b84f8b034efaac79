// berth's part of the host's filter table, and what --iptables=false and its kind leave away.
#include "network/host_filter.h"

#include "network/test_world.h"

namespace berth::network {
namespace {

sys::NftRule drop_all() {
  sys::NftRule rule;
  rule.counter().verdict(sys::NftVerdict::Drop);
  return rule;
}

class HostFilterTest : public NetworksTest {
 protected:
  HostFilterState state(sys::NftFamily family = sys::NftFamily::Ip) {
    auto socket = sys::NftSocket::open();
    auto read = read_host_filter(*socket, family);
    EXPECT_TRUE(read.has_value()) << (read ? "" : read.error().message());
    return read ? *read : HostFilterState();
  }
  /// A rule that an administrator writes.
  void add(std::string_view chain, const sys::NftRule& rule) {
    sys::NftTransaction transaction;
    transaction.add_rule(sys::NftFamily::Ip, "filter", chain, rule);
    ASSERT_TRUE(sys::NftSocket::open()->commit(transaction).has_value());
  }
};

TEST_F(HostFilterTest, AHostThatDidNotForwardDoesSoForContainersAlone) {
  // berth has switched forwarding on: what is not containers' does not pass from now on.
  EXPECT_EQ(*sys::read_sysctl("net/ipv4/ip_forward"), "1");
  EXPECT_TRUE(state().drops);
  Container web = run("web", {tcp(8080, 80)});
  EchoServer inside(&web.netns, 80);
  EchoServer peer(&outside_, 81);
  EXPECT_EQ(ask(&outside_, ip(kOutsideHost), 8080), kOutsidePeer);
  EXPECT_EQ(ask(&web.netns, ip(kOutsidePeer), 81), kOutsideHost);
}

TEST_F(HostFilterTest, AHostThatForwardsIsLeftAsItIs) {
  ASSERT_TRUE(networks_->shut_down().has_value());
  sys::NftTransaction transaction;
  transaction.delete_table(sys::NftFamily::Ip, "filter");
  ASSERT_TRUE(sys::NftSocket::open()->commit(transaction).has_value());
  networks_ = start({}, {});
  EXPECT_FALSE(state().drops);
}

TEST_F(HostFilterTest, ForwardingMayBeLeftToTheHost) {
  ASSERT_TRUE(networks_->shut_down().has_value());
  ASSERT_TRUE(sys::write_sysctl("net/ipv4/ip_forward", "0").has_value());
  networks_ = start({}, {}, {.forward = false});
  Container web = run("web");
  EXPECT_EQ(*sys::read_sysctl("net/ipv4/ip_forward"), "0");
}

TEST_F(HostFilterTest, RulesOfTheHostsDecide) {
  Container web = run("web", {tcp(8080, 80)});
  EchoServer inside(&web.netns, 80);
  ASSERT_EQ(ask(&outside_, ip(kOutsideHost), 8080), kOutsidePeer);
  add("DOCKER-USER", drop_all());
  EXPECT_EQ(ask(&outside_, ip(kOutsideHost), 8080, SOCK_STREAM, kRefusal), "timeout");
  // They outlive the engine, and hold for the next one.
  std::vector<NetworkRecord> records;
  for (const auto* network : networks_->list()) records.push_back(*network);
  ASSERT_TRUE(networks_->detach(web.endpoint.id)->run().has_value());
  ASSERT_TRUE(networks_->shut_down().has_value());
  EXPECT_EQ(state().user.size(), 1u);
  networks_ = start(records, {});
  EXPECT_EQ(state().user.size(), 1u);
  ASSERT_EQ(state().forward.size(), 2u);
  EXPECT_EQ(state().forward[0].jump, "DOCKER-USER");
  EXPECT_EQ(state().forward[1].jump, "BERTH-FORWARD");
}

TEST_F(HostFilterTest, WhatTheHostDropsInForwardStaysDropped) {
  Container web = run("web", {tcp(8080, 80)});
  EchoServer inside(&web.netns, 80);
  add("FORWARD", sys::NftRule()
                     .meta(sys::NftRule::Meta::InputName)
                     .compare(sys::NftCompare::Equal, "uplink")
                     .counter()
                     .verdict(sys::NftVerdict::Drop));
  // berth's chain goes behind it when it is written next.
  ASSERT_TRUE(networks_->create({.name = "red"}).has_value());
  auto forward = state().forward;
  ASSERT_EQ(forward.size(), 3u);
  EXPECT_EQ(forward[2].jump, "BERTH-FORWARD");
  EXPECT_EQ(ask(&outside_, ip(kOutsideHost), 8080, SOCK_STREAM, kRefusal), "timeout");
}

TEST_F(HostFilterTest, ARuleThatRefusesTheRestIsAPolicy) {
  Container web = run("web", {tcp(8080, 80)});
  EchoServer inside(&web.netns, 80);
  sys::NftTransaction front;
  front.flush_chain(sys::NftFamily::Ip, "filter", "FORWARD");
  ASSERT_TRUE(sys::NftSocket::open()->commit(front).has_value());
  add("FORWARD", drop_all());
  ASSERT_EQ(ask(&outside_, ip(kOutsideHost), 8080, SOCK_STREAM, kRefusal), "timeout");
  ASSERT_TRUE(networks_->create({.name = "red"}).has_value());
  auto forward = state().forward;
  ASSERT_EQ(forward.size(), 3u);
  EXPECT_EQ(forward[1].jump, "BERTH-FORWARD");
  EXPECT_TRUE(forward[2].refuses_all);
  EXPECT_EQ(ask(&outside_, ip(kOutsideHost), 8080), kOutsidePeer);
}

TEST_F(HostFilterTest, NothingIsLeftWhereNobodyElseIs) {
  ASSERT_TRUE(networks_->shut_down().has_value());
  EXPECT_THAT(state().chains, ElementsAre("FORWARD"));  // its policy still keeps the host from routing
  EXPECT_THAT(state().forward, IsEmpty());
}

TEST_F(HostFilterTest, WithoutFirewallTheProxyServes) {
  ASSERT_TRUE(networks_->shut_down().has_value());
  networks_ = start({}, {}, {.firewall4 = false, .firewall6 = false});
  EXPECT_THAT(tables(), Not(Contains("berth")));
  EXPECT_THAT(state().chains, Not(Contains("BERTH-FORWARD")));
  Container web = run("web", {tcp(8080, 80)});
  EchoServer inside(&web.netns, 80);
  EXPECT_EQ(ask(&outside_, ip(kOutsideHost), 8080), gateway(IpFamily::V4).to_string());
  EXPECT_THAT(tables(), Not(Contains("berth")));
  ASSERT_TRUE(networks_->detach(web.endpoint.id)->run().has_value());
  EXPECT_EQ(ask(&outside_, ip(kOutsideHost), 8080), "Connection refused");
}

TEST_F(HostFilterTest, OneFamilyMayBeLeftAlone) {
  ASSERT_TRUE(networks_->shut_down().has_value());
  networks_ = start({}, {}, {.firewall6 = false});
  auto socket = sys::NftSocket::open();
  EXPECT_TRUE(*socket->has_table(sys::NftFamily::Ip, "berth"));
  EXPECT_FALSE(*socket->has_table(sys::NftFamily::Ip6, "berth"));
}

TEST_F(HostFilterTest, ContainersMayHaveAnAddressOfTheirOwnOutside) {
  sys::RouteBatch batch;
  batch.add_address({host_.routes().link("uplink")->index, prefix("192.0.2.7/24")});
  ASSERT_TRUE(host_.routes().run(batch).has_value());
  ASSERT_TRUE(networks_->create({.name = "red", .options = {{"com.docker.network.host_ipv4", "192.0.2.7"}}})
                  .has_value());
  Container web = run("web", {}, "red");
  EchoServer peer(&outside_, 81);
  EXPECT_EQ(ask(&web.netns, ip(kOutsidePeer), 81), "192.0.2.7");
  auto wrong = networks_->create({.name = "blue", .options = {{"com.docker.network.host_ipv4", "fd00::1"}}});
  EXPECT_EQ(wrong.error().kind(), Kind::InvalidArgument);
}

}  // namespace
}  // namespace berth::network
