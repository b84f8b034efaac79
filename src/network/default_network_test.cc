// What the daemon's options make of the default network and of new ones, without a kernel.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "network/default_network.h"

namespace berth::network {
namespace {

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
  ASSERT_TRUE(build_on_bridge(addresses, options));
  EXPECT_EQ(options.bridge_subnet4, prefix("192.168.0.1/24"));
  EXPECT_EQ(options.bridge_subnet6, prefix("fd05::7/64"));
  auto planned = plan_default_network(options, {});
  ASSERT_TRUE(planned.has_value()) << planned.error().message();
  EXPECT_EQ(planned->bridge, "br0");
  EXPECT_TRUE(planned->foreign_bridge);
  EXPECT_EQ(planned->pool(IpFamily::V4)->gateway, ip("192.168.0.1"));
  options.bridge_range4 = prefix("10.5.1.0/24");
  options.bridge_range6 = prefix("fe80::/64");
  ASSERT_TRUE(build_on_bridge(addresses, options));
  EXPECT_EQ(options.bridge_subnet4, prefix("10.5.0.7/16"));
  EXPECT_EQ(options.bridge_subnet6, prefix("fe80::1/64"));
  options.bridge_range4 = prefix("10.6.0.0/16");
  ASSERT_TRUE(build_on_bridge(addresses, options));
  EXPECT_FALSE(options.bridge_range4.has_value());
  options.bridge_range6 = prefix("fd06::/64");
  EXPECT_EQ(build_on_bridge(addresses, options).error().kind(), Kind::InvalidArgument);
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
