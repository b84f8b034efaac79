// Networks of configuration alone, and those made of them.
#include "network/config_network.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace berth::network {
namespace {

using ::testing::HasSubstr;

IpPrefix prefix(std::string_view text) {
  return *IpPrefix::parse(text);
}

NetworkRequest configuration() {
  return {.name = "plan",
          .pools = {{.subnet = prefix("10.9.0.0/24"), .range = prefix("10.9.0.64/26")}},
          .options = {{"com.docker.network.driver.mtu", "1300"}},
          .labels = {{"team", "a"}},
          .config_only = true};
}

TEST(ConfigNetwork, HoldsWhatItWasGivenAndNothingElse) {
  auto planned = plan_network(configuration(), {});
  ASSERT_TRUE(planned.has_value()) << planned.error().message();
  EXPECT_TRUE(planned->config_only);
  EXPECT_EQ(planned->driver, NetworkDriver::Null);
  EXPECT_TRUE(planned->bridge.empty());
  ASSERT_EQ(planned->pools.size(), 1u);
  EXPECT_TRUE(planned->pools[0].gateway.is_unspecified());
  auto stored = decode_network(encode(*planned));
  ASSERT_TRUE(stored.has_value()) << stored.error().message();
  EXPECT_TRUE(stored->config_only);
  // Several may describe parts of one subnet.
  NetworkRequest second = configuration();
  second.name = "plan2";
  Surroundings surroundings{.networks = {&*planned}};
  EXPECT_TRUE(plan_network(second, surroundings).has_value());
}

TEST(ConfigNetwork, ANetworkIsMadeOfIt) {
  auto plan = plan_network(configuration(), {});
  ASSERT_TRUE(plan.has_value());
  Surroundings surroundings{.networks = {&*plan},
                            .default_options = {{"bridge", {{"com.docker.network.driver.mtu", "1234"}}}}};
  auto made = plan_network({.name = "web", .config_from = "plan"}, surroundings);
  ASSERT_TRUE(made.has_value()) << made.error().message();
  EXPECT_FALSE(made->config_only);
  EXPECT_EQ(made->config_from, "plan");
  EXPECT_EQ(decode_network(encode(*made))->config_from, "plan");
  EXPECT_EQ(mtu_of(*made), 1300u);
  EXPECT_EQ(made->labels.at("team"), "a");
  EXPECT_EQ(made->pools.at(0).subnet, prefix("10.9.0.0/24"));
  EXPECT_EQ(made->pools.at(0).range, prefix("10.9.0.64/26"));
  EXPECT_EQ(made->pools.at(0).gateway.to_string(), "10.9.0.1");
  // A second network of the same configuration has the same subnet, which is taken.
  surroundings.networks.push_back(&*made);
  auto again = plan_network({.name = "web2", .config_from = "plan"}, surroundings);
  EXPECT_THAT(again.error().message(), HasSubstr("Pool overlaps"));
}

TEST(ConfigNetwork, RefusalsInDockersWords) {
  NetworkRequest wrong = configuration();
  wrong.internal = true;
  EXPECT_THAT(plan_network(wrong, {}).error().message(),
              HasSubstr("configuration network can only contain network specific fields"));
  wrong = configuration();
  wrong.config_from = "other";
  EXPECT_EQ(plan_network(wrong, {}).error().message(),
            "a configuration network cannot depend on another configuration network");
  EXPECT_EQ(plan_network({.name = "web", .config_from = "none-such"}, {}).error().message(),
            "configuration network \"none-such\" does not exist");
  auto plan = plan_network(configuration(), {});
  Surroundings surroundings{.networks = {&*plan}};
  auto both = plan_network({.name = "web", .labels = {{"x", "y"}}, .config_from = "plan"}, surroundings);
  EXPECT_EQ(both.error().kind(), Kind::Forbidden);
  EXPECT_THAT(both.error().message(), HasSubstr("user specified configurations are not supported"));
}

}  // namespace
}  // namespace berth::network
