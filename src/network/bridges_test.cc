// A network's bridge: its name, its life, whose it is.
#include "network/test_world.h"

namespace berth::network {
namespace {

TEST_F(NetworksTest, ABridgeIsThereFromCreationToRemoval) {
  EXPECT_THAT(link_names(), Contains("berth0"));
  auto red = networks_->create({.name = "red", .options = {{"com.docker.network.driver.mtu", "1300"}}});
  ASSERT_TRUE(red.has_value()) << red.error().message();
  std::string name = "br-" + (*red)->id.substr(0, 12);
  auto link = host_.routes().link(name);
  ASSERT_TRUE(link.has_value()) << link.error().message();
  EXPECT_EQ(link->mtu, 1300u);
  EXPECT_EQ(link->alias, "berth");
  IpAddress gateway = (*red)->pools.front().gateway;
  bool has_address = false;
  auto addresses = host_.routes().addresses();
  for (const auto& address : *addresses)
    has_address |= address.link == link->index && address.address.address == gateway;
  EXPECT_TRUE(has_address);
  auto removal = networks_->remove("red");
  ASSERT_TRUE(removal.has_value());
  ASSERT_TRUE(removal->run().has_value());
  EXPECT_THAT(link_names(), Not(Contains(name)));
}

TEST_F(NetworksTest, BridgesComeBackWithTheEngine) {
  auto red = networks_->create({.name = "red"});
  ASSERT_TRUE(red.has_value());
  std::string name = (*red)->bridge;
  std::vector<NetworkRecord> records;
  for (const auto* network : networks_->list()) records.push_back(*decode_network(encode(*network)));
  ASSERT_TRUE(networks_->shut_down().has_value());
  EXPECT_THAT(link_names(), ElementsAre("lo", "uplink"));
  // What the engine has made and not come to record.
  sys::RouteBatch lost;
  lost.create_bridge({.name = "br-lost", .alias = "berth"});
  lost.create_bridge({.name = "br-other", .alias = "somebody's"});
  ASSERT_TRUE(host_.routes().run(lost).has_value());
  networks_ = start(records, {});
  EXPECT_THAT(link_names(), Contains(name));
  EXPECT_THAT(recovery_.stale.host_links, ElementsAre("br-lost"));
  Container web = run("web", {}, "red");
  EchoServer server(&web.netns, 80);
  EXPECT_NE(ask(nullptr, web.v4(), 80), "timeout");
}

TEST_F(NetworksTest, ASubnetThatTheHostHasComeToRouteElsewhereMoves) {
  auto red = networks_->create({.name = "red"});
  ASSERT_TRUE(red.has_value());
  IpPrefix subnet = (*red)->pools.front().subnet;
  std::vector<NetworkRecord> records;
  for (const auto* network : networks_->list()) records.push_back(*decode_network(encode(*network)));
  ASSERT_TRUE(networks_->shut_down().has_value());
  sys::RouteBatch tunnel;
  tunnel.add_route({.destination = subnet, .gateway = ip(kOutsidePeer)});
  ASSERT_TRUE(host_.routes().run(tunnel).has_value());
  networks_ = start(records, {});
  EXPECT_NE((*networks_->find("red"))->pools.front().subnet, subnet);
}

TEST_F(NetworksTest, ABridgeOfTheHostsIsUsedAndStays) {
  sys::RouteBatch batch;
  batch.create_bridge({.name = "lan0"});
  ASSERT_TRUE(host_.routes().run(batch).has_value());
  auto lan = networks_->create({.name = "lan", .options = {{"com.docker.network.bridge.name", "lan0"}}});
  ASSERT_TRUE(lan.has_value()) << lan.error().message();
  Container web = run("web", {}, "lan");
  EchoServer server(&web.netns, 80);
  EXPECT_EQ(ask(nullptr, web.v4(), 80), (*lan)->pools.front().gateway.to_string());
  auto left = networks_->detach(web.endpoint.id);
  ASSERT_TRUE(left->run().has_value());
  auto removal = networks_->remove("lan");
  ASSERT_TRUE(removal.has_value());
  ASSERT_TRUE(removal->run().has_value());
  EXPECT_THAT(link_names(), Contains("lan0"));
}

TEST_F(NetworksTest, Docker0IsMadeForWhoAsksForIt) {
  networks_ = start({}, {}, {.bridge_name = "docker0"});
  EXPECT_THAT(link_names(), Contains("docker0"));
  std::vector<NetworkRecord> records;
  for (const auto* network : networks_->list()) records.push_back(*network);
  // Found again by a later engine, it is berth's own still, and goes with it.
  networks_ = start(records, {}, {.bridge_name = "docker0"});
  ASSERT_TRUE(networks_->shut_down().has_value());
  EXPECT_THAT(link_names(), Not(Contains("docker0")));
  EXPECT_EQ(Networks::open({.bridge_name = "br-none"}).error().kind(), Kind::InvalidArgument);
}

TEST_F(NetworksTest, ManyLinksAreRemovedTogether) {
  LinkRemoval removal;
  for (int i = 0; i < 5; ++i) {
    auto made = networks_->create({.name = fmt::format("n{}", i)});
    ASSERT_TRUE(made.has_value());
    removal.merge(*networks_->remove((*made)->id));
  }
  removal.merge({{"br-never"}});
  ASSERT_TRUE(removal.run().has_value());
  EXPECT_THAT(link_names(), ElementsAre("lo", "uplink", "berth0"));
  EXPECT_TRUE(removal.run().has_value());
}

TEST_F(NetworksTest, AConfigurationIsNobodysNetwork) {
  ASSERT_TRUE(networks_->create({.name = "plan", .config_only = true}).has_value());
  ASSERT_TRUE(networks_->create({.name = "web", .config_from = "plan"}).has_value());
  NetworkNamespace netns = *NetworkNamespace::create();
  AttachRequest request{.network = "plan", .container_id = "id", .container_name = "c"};
  EXPECT_EQ(networks_->attach(request, netns).error().message(),
            "cannot create endpoint on configuration-only network");
  EXPECT_THAT(networks_->remove("plan").error().message(), HasSubstr("\"plan\" is in use"));
  ASSERT_TRUE(networks_->remove("web")->run().has_value());
  EXPECT_TRUE(networks_->remove("plan").has_value());
}

TEST_F(NetworksTest, ContainersMayHaveAnotherGatewayThanTheBridge) {
  networks_ = start({}, {}, {.bridge_subnet4 = prefix("10.7.0.1/16"), .default_gateway4 = ip("10.7.0.254")});
  Container web = run("web");
  EXPECT_EQ(web.endpoint.gateway4, ip("10.7.0.254"));
  EXPECT_EQ(gateway(IpFamily::V4), ip("10.7.0.1"));
  auto wrong = Networks::open({.bridge_subnet4 = prefix("10.7.0.1/16"), .default_gateway4 = ip("10.8.0.1")});
  ASSERT_TRUE(wrong.has_value());
  EXPECT_EQ((*wrong)->recover({}, {}).error().kind(), Kind::InvalidArgument);
}

}  // namespace
}  // namespace berth::network
