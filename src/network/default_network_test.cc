// What the daemon's options make of the default network and of new ones, without a kernel.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/format.h"
#include "network/bridge.h"
#include "network/default_network.h"

namespace berth::network {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

IpAddress ip(std::string_view text) {
  return *IpAddress::parse(text);
}
IpPrefix prefix(std::string_view text) {
  return *IpPrefix::parse(text);
}

TEST(PlanDefaultNetwork, ARangeIsTheSubnetUnlessThatIsGiven) {
  NetworkOptions options{.bridge_range4 = prefix("10.5.0.0/16"), .bridge_range6 = prefix("fd05::/64")};
  auto planned = plan_default_network(options, {});
  ASSERT_TRUE(planned.has_value()) << planned.error().message();
  EXPECT_EQ(planned->pool(IpFamily::V4)->subnet, prefix("10.5.0.0/16"));
  EXPECT_EQ(planned->pool(IpFamily::V4)->gateway, ip("10.5.0.1"));
  EXPECT_EQ(planned->pool(IpFamily::V4)->range, prefix("10.5.0.0/16"));
  EXPECT_EQ(planned->pool(IpFamily::V6)->subnet, prefix("fd05::/64"));
  options.bridge_subnet4 = prefix("10.5.0.9/8");
  planned = plan_default_network(options, {});
  ASSERT_TRUE(planned.has_value()) << planned.error().message();
  EXPECT_EQ(planned->pool(IpFamily::V4)->subnet, prefix("10.0.0.0/8"));
  EXPECT_EQ(planned->pool(IpFamily::V4)->gateway, ip("10.5.0.9"));
  EXPECT_EQ(planned->pool(IpFamily::V4)->range, prefix("10.5.0.0/16"));
  options.bridge_subnet4 = prefix("10.6.0.1/16");
  EXPECT_EQ(check_default_ranges(options).error().kind(), Kind::InvalidArgument);
  EXPECT_EQ(check_default_ranges({.bridge_range4 = prefix("fd05::/64")}).error().kind(),
            Kind::InvalidArgument);
}

TEST(PlanDefaultNetwork, ABridgeThatIsThereHasItsAddresses) {
  const std::vector<IpPrefix> addresses = {prefix("192.168.0.1/24"), prefix("10.5.0.7/16"),
                                           prefix("fe80::1/64"), prefix("fd05::7/64")};
  NetworkOptions options{.bridge_name = "br0"};
  ASSERT_TRUE(build_on_bridge(addresses, BridgeAddresses::OfTheHost, options));
  EXPECT_EQ(options.bridge_subnet4, prefix("192.168.0.1/24"));
  EXPECT_EQ(options.bridge_subnet6, prefix("fd05::7/64"));
  auto planned = plan_default_network(options, {});
  ASSERT_TRUE(planned.has_value()) << planned.error().message();
  EXPECT_EQ(planned->bridge, "br0");
  EXPECT_TRUE(planned->foreign_bridge);
  EXPECT_EQ(planned->pool(IpFamily::V4)->gateway, ip("192.168.0.1"));
  options.bridge_range4 = prefix("10.5.1.0/24");
  options.bridge_range6 = prefix("fe80::/64");
  ASSERT_TRUE(build_on_bridge(addresses, BridgeAddresses::OfTheHost, options));
  EXPECT_EQ(options.bridge_subnet4, prefix("10.5.0.7/16"));
  EXPECT_EQ(options.bridge_subnet6, prefix("fe80::1/64"));
  options.bridge_range4 = prefix("10.6.0.0/16");
  ASSERT_TRUE(build_on_bridge(addresses, BridgeAddresses::OfTheHost, options));
  EXPECT_FALSE(options.bridge_range4.has_value());
  options.bridge_range6 = prefix("fd06::/64");
  EXPECT_EQ(build_on_bridge(addresses, BridgeAddresses::OfTheHost, options).error().kind(),
            Kind::InvalidArgument);
}

/// What docker0 with these addresses becomes: "subnet, range, gateway" of both families, as inspect shows
/// them.
std::vector<std::string> adopted(const std::vector<IpPrefix>& addresses, NetworkOptions options) {
  options.bridge_name = kDockerBridge;
  auto built = build_on_bridge(addresses, BridgeAddresses::OfTheEngine, options);
  if (!built) return {built.error().message()};
  auto planned = plan_default_network(options, {});
  if (!planned) return {planned.error().message()};
  EXPECT_FALSE(planned->foreign_bridge);
  std::vector<std::string> shown;
  for (const IpamPool& pool : planned->pools) {
    shown.push_back(fmt::format("{}, {}, {}", pool.subnet.to_string(),
                                pool.range ? pool.range->to_string() : "-",
                                pool.implied_gateway ? "-" : pool.gateway.to_string()));
  }
  return shown;
}

TEST(PlanDefaultNetwork, Docker0KeepsWhatFitsTheOptions) {
  const std::vector<IpPrefix> large = {prefix("192.168.176.88/20"), prefix("fe80::1/64"),
                                       prefix("fd05:1::8888/56")};
  const std::vector<IpPrefix> small = {prefix("192.168.176.88/24"), prefix("fe80::1/64"),
                                       prefix("fd05:1::8888/64")};
  EXPECT_THAT(adopted(small, {}),
              ElementsAre("192.168.176.0/24, -, 192.168.176.88", "fd05:1::/64, -, fd05:1::8888"));
  NetworkOptions ranges{.bridge_range4 = prefix("192.168.176.0/24"), .bridge_range6 = prefix("fd05:1::/64")};
  EXPECT_THAT(adopted({}, ranges),
              ElementsAre("192.168.176.0/24, 192.168.176.0/24, -", "fd05:1::/64, fd05:1::/64, -"));
  EXPECT_THAT(adopted(large, ranges), ElementsAre("192.168.176.0/20, 192.168.176.0/24, 192.168.176.88",
                                                  "fd05:1::/56, fd05:1::/64, fd05:1::8888"));
  NetworkOptions with_bip = ranges;
  with_bip.bridge_subnet4 = prefix("192.168.176.99/24");
  with_bip.bridge_subnet6 = prefix("fd05:1::9999/64");
  EXPECT_THAT(adopted(large, with_bip), ElementsAre("192.168.176.0/24, 192.168.176.0/24, 192.168.176.99",
                                                    "fd05:1::/64, fd05:1::/64, fd05:1::9999"));
  ranges = {.bridge_range4 = prefix("192.168.176.0/20"), .bridge_range6 = prefix("fd05:1::/56")};
  EXPECT_THAT(adopted(small, ranges), ElementsAre("192.168.176.0/20, 192.168.176.0/20, 192.168.176.88",
                                                  "fd05:1::/56, fd05:1::/56, fd05:1::8888"));
  ranges = {.bridge_range4 = prefix("192.168.177.0/24"), .bridge_range6 = prefix("fd05:1:0:1::/64")};
  EXPECT_THAT(adopted(small, ranges),
              ElementsAre("192.168.177.0/24, 192.168.177.0/24, -", "fd05:1:0:1::/64, fd05:1:0:1::/64, -"));
  ranges.bridge_range6 = prefix("fe80::/64");
  EXPECT_EQ(adopted(small, ranges).back(), "fe80::/64, fe80::/64, fe80::1");
}

TEST(PlanDefaultNetwork, Docker0ComesToItsAddress) {
  auto removed = [](std::string_view wanted, const std::vector<IpPrefix>& present) {
    std::vector<std::string> texts;
    for (const IpPrefix& one : plan_bridge_address(prefix(wanted), present).removed)
      texts.push_back(one.to_string());
    return texts;
  };
  auto added = [](std::string_view wanted, const std::vector<IpPrefix>& present) {
    return plan_bridge_address(prefix(wanted), present).added.has_value();
  };
  const std::vector<IpPrefix> present = {prefix("10.1.0.1/16"), prefix("10.2.0.1/16"), prefix("fe80::7/64"),
                                         prefix("fd05:1::1/64"), prefix("fe80:1::1/64")};
  EXPECT_THAT(removed("10.2.0.1/16", present), IsEmpty());
  EXPECT_FALSE(added("10.2.0.1/16", present));
  EXPECT_THAT(removed("10.2.0.1/24", present), ElementsAre("10.2.0.1/16"));
  EXPECT_THAT(removed("10.3.0.1/16", present), ElementsAre("10.1.0.1/16"));
  EXPECT_TRUE(added("10.3.0.1/16", present));
  EXPECT_THAT(removed("fd05:1::1/80", present), ElementsAre("fe80:1::1/64"));
  EXPECT_FALSE(added("fd05:1::1/80", present));
  EXPECT_THAT(removed("fd05:2::1/64", present), ElementsAre("fd05:1::1/64", "fe80:1::1/64"));
  EXPECT_TRUE(added("fd05:2::1/64", {}));
}

TEST(PlanNetwork, OptionsOfTheDriverHoldWhereNoneIsGiven) {
  Surroundings surroundings;
  ASSERT_TRUE(add_default_option("bridge=a.b=1=2", surroundings.default_options));
  ASSERT_TRUE(add_default_option("bridge=c=3", surroundings.default_options));
  ASSERT_TRUE(add_default_option("macvlan=d=4", surroundings.default_options));
  NetworkRequest request{.name = "web", .options = {{"c", "5"}}};
  auto planned = plan_network(request, surroundings);
  ASSERT_TRUE(planned.has_value()) << planned.error().message();
  EXPECT_EQ(planned->options, (std::map<std::string, std::string>{{"a.b", "1=2"}, {"c", "5"}}));
  surroundings.default_options = {{"bridge", {{"com.docker.network.enable_ipv6", "true"}}}};
  planned = plan_network(request, surroundings);
  ASSERT_TRUE(planned.has_value()) << planned.error().message();
  EXPECT_NE(planned->pool(IpFamily::V6), nullptr);
  EXPECT_TRUE(planned->options.contains("com.docker.network.enable_ipv6"));
  request.enable_ipv6 = false;
  planned = plan_network(request, surroundings);
  ASSERT_TRUE(planned.has_value()) << planned.error().message();
  EXPECT_EQ(planned->pool(IpFamily::V6), nullptr);
  EXPECT_FALSE(planned->options.contains("com.docker.network.enable_ipv6"));
  for (const char* value : {"99", "2001", "nonsense", ""}) {
    request.options = {{"com.docker.network.advertise_addr_ms", value}};
    EXPECT_EQ(plan_network(request, surroundings).error().kind(), Kind::InvalidArgument) << value;
  }
  request.options = {{"com.docker.network.advertise_addr_ms", "100"},
                     {"com.docker.network.advertise_addr_nmsgs", "0"}};
  EXPECT_TRUE(plan_network(request, surroundings));
  request.options = {{"com.docker.network.enable_ipv4", "perhaps"}};
  EXPECT_EQ(plan_network(request, surroundings).error().kind(), Kind::InvalidArgument);
  for (const char* text : {"", "bridge", "bridge=a", "=a=b", "bridge==b"})
    EXPECT_FALSE(add_default_option(text, surroundings.default_options)) << text;
}

}  // namespace
}  // namespace berth::network
