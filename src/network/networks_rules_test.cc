// Rules of single networks in the tables of all.
#include "network/firewall.h"
#include "network/test_world.h"

namespace berth::network {
namespace {

TEST_F(NetworksTest, ANetworksRulesGoWithIt) {
  for (const char* name : {"red", "blue"})
    ASSERT_TRUE(networks_->create({.name = name, .enable_ipv6 = true}).has_value());
  const std::string red = (*networks_->find("red"))->bridge;
  const std::string blue = (*networks_->find("blue"))->bridge;
  auto count = [&](const std::string& bridge) {
    auto socket = sys::NftSocket::open();
    size_t found = 0;
    for (sys::NftFamily family : {sys::NftFamily::Ip, sys::NftFamily::Ip6}) {
      std::vector<std::pair<std::string, std::string>> chains = {{"filter", "BERTH-FORWARD"}};
      for (const std::string& chain : network_chains()) chains.emplace_back("berth", chain);
      for (const auto& [table, chain] : chains) {
        const auto rules = socket->rules(family, table, chain);
        for (const auto& rule : *rules) found += rule.input == bridge || rule.output == bridge ? 1 : 0;
      }
    }
    return found;
  };
  const size_t before = count(blue);
  EXPECT_EQ(count(red), before);
  EXPECT_GE(before, 10u);
  auto removal = networks_->remove("red");
  ASSERT_TRUE(removal.has_value()) << removal.error().message();
  ASSERT_TRUE(removal->run().has_value());
  EXPECT_EQ(count(red), 0u);
  EXPECT_EQ(count(blue), before);
  // What is left works, and the name may come again.
  Container a = run("a", {tcp(8080, 80)}, "blue");
  EchoServer server(&a.netns, 80);
  EXPECT_EQ(ask(&outside_, ip(kOutsideHost), 8080), kOutsidePeer);
  ASSERT_TRUE(networks_->create({.name = "red", .enable_ipv6 = true}).has_value());
}

}  // namespace
}  // namespace berth::network
