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
  // It stays when the engine goes, and is used again by the next, also by one that knows nothing of it.
  ASSERT_TRUE(networks_->shut_down().has_value());
  EXPECT_THAT(link_names(), Contains("docker0"));
  IpAddress address = gateway(IpFamily::V4);
  networks_ = start(records, {}, {.bridge_name = "docker0"});
  ASSERT_TRUE(networks_->shut_down().has_value());
  networks_ = start({}, {}, {.bridge_name = "docker0"});
  EXPECT_EQ(gateway(IpFamily::V4), address);
  EXPECT_EQ(Networks::open({.bridge_name = "br-none"}).error().kind(), Kind::InvalidArgument);
}

TEST_F(NetworksTest, Docker0GetsTheAddressesThatTheOptionsGive) {
  sys::RouteBatch batch;
  batch.create_bridge({.name = "docker0"});
  ASSERT_TRUE(host_.routes().run(batch).has_value());
  uint32_t index = host_.routes().link("docker0")->index;
  sys::RouteBatch former;
  former.add_address({index, prefix("192.168.176.88/24")}).add_address({index, prefix("fd05:1::88/64")});
  ASSERT_TRUE(host_.routes().run(former).has_value());
  auto own = [&] {
    std::vector<std::string> texts;
    auto addresses = host_.routes().addresses();
    for (const auto& address : *addresses) {
      if (address.link == index && !address.address.address.is_link_local())
        texts.push_back(address.address.to_string());
    }
    return texts;
  };
  networks_ = start({}, {}, {.bridge_name = "docker0"});
  EXPECT_THAT(own(), ElementsAre("192.168.176.88/24", "fd05:1::88/64"));
  EXPECT_EQ(gateway(IpFamily::V4), ip("192.168.176.88"));
  // A larger range, and one elsewhere.
  networks_ = start({}, {},
                    {.bridge_range4 = prefix("192.168.176.0/20"),
                     .bridge_range6 = prefix("fd05:2::/64"),
                     .bridge_name = "docker0"});
  EXPECT_THAT(own(), ElementsAre("192.168.176.88/20", "fd05:2::1/64"));
  EXPECT_FALSE((*networks_->find("bridge"))->pool(IpFamily::V4)->implied_gateway);
  EXPECT_TRUE((*networks_->find("bridge"))->pool(IpFamily::V6)->implied_gateway);
  Container web = run("web");
  EchoServer server(&web.netns, 80);
  EXPECT_EQ(ask(nullptr, web.v4(), 80), "192.168.176.88");
  EXPECT_EQ(ask(nullptr, web.v6(), 80), "fd05:2::1");
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
