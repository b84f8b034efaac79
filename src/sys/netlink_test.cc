// Addresses, netlink framing, rtnetlink, network namespaces and nf_tables. What needs root works in
// namespaces of the test's own.
#include "sys/netlink.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/magic.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <thread>

#include "sys/netlink_message.h"
#include "sys/netns.h"
#include "sys/nftables.h"

namespace berth::sys {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

IpAddress ip(std::string_view text) {
  return *IpAddress::parse(text);
}
IpPrefix prefix(std::string_view text) {
  return *IpPrefix::parse(text);
}

TEST(IpAddress, ParsesAndPrints) {
  EXPECT_EQ(ip("192.0.2.1").to_string(), "192.0.2.1");
  EXPECT_EQ(ip("2001:DB8::0:1").to_string(), "2001:db8::1");
  EXPECT_EQ(ip("::ffff:10.0.0.1"), ip("10.0.0.1"));
  for (const char* bad : {"", "1.2.3", "256.1.1.1", "fe80::1%eth0", "1.2.3.4 ", "g::", "01.2.3.4.5"}) {
    EXPECT_FALSE(IpAddress::parse(bad).has_value()) << bad;
  }
  EXPECT_FALSE(IpAddress::parse(std::string_view("1.2.3.4\0", 8)).has_value());
  EXPECT_TRUE(ip("127.9.9.9").is_loopback() && ip("::1").is_loopback() && !ip("::2").is_loopback());
  EXPECT_TRUE(ip("fe80::1").is_link_local() && ip("169.254.1.1").is_link_local());
  EXPECT_TRUE(ip("ff02::1").is_multicast() && ip("224.0.0.1").is_multicast());
  EXPECT_TRUE(ip("::").is_unspecified() && ip("0.0.0.0").is_unspecified());
}

TEST(IpAddress, Arithmetic) {
  EXPECT_EQ(ip("10.0.0.255").plus(1), ip("10.0.1.0"));
  EXPECT_EQ(ip("fd00::ffff").plus(1), ip("fd00::1:0"));
  EXPECT_EQ(ip("10.0.1.0").distance_from(ip("10.0.0.0")), 256u);
  EXPECT_EQ(ip("fd01::").distance_from(ip("fd00::")), UINT64_MAX);
  EXPECT_LT(ip("9.255.255.255"), ip("10.0.0.0"));
}

TEST(IpPrefix, NetworksAndOverlap) {
  EXPECT_EQ(prefix("172.17.5.9/16").network(), prefix("172.17.0.0/16"));
  EXPECT_EQ(prefix("172.17.0.0/16").last(), ip("172.17.255.255"));
  EXPECT_EQ(prefix("10.0.0.129/25").network().to_string(), "10.0.0.128/25");
  EXPECT_TRUE(prefix("10.0.0.0/8").contains(prefix("10.1.0.0/16")));
  EXPECT_FALSE(prefix("10.1.0.0/16").contains(prefix("10.0.0.0/8")));
  EXPECT_TRUE(prefix("10.1.0.0/16").overlaps(prefix("10.0.0.0/8")));
  EXPECT_FALSE(prefix("10.0.0.0/8").overlaps(prefix("fd00::/8")));
  EXPECT_EQ(prefix("10.0.0.1").length, 32);
  EXPECT_EQ(prefix("0.0.0.0/0").size(), uint64_t{1} << 32);
  for (const char* bad : {"10.0.0.0/33", "10.0.0.0/", "10.0.0.0/a", "10.0.0.0/-1", "/8", "fd00::/129"}) {
    EXPECT_FALSE(IpPrefix::parse(bad).has_value()) << bad;
  }
}

TEST(MacAddress, ParsesAndDerives) {
  EXPECT_EQ(MacAddress::parse("02-42-AC-11-00-02")->to_string(), "02:42:ac:11:00:02");
  EXPECT_EQ(MacAddress::of_ipv4(ip("172.17.0.2")).to_string(), "02:42:ac:11:00:02");
  for (const char* bad : {"", "02:42:ac:11:00", "02:42:ac:11:00:0g", "02:42-ac:11:00:02", "0242ac110002"}) {
    EXPECT_FALSE(MacAddress::parse(bad).has_value()) << bad;
  }
  EXPECT_EQ(MacAddress::random().bytes[0] & 3, 2);
}

TEST(NetlinkMessage, NestsAndPads) {
  std::string buffer;
  NetlinkMessage message(buffer, 7, NLM_F_REQUEST, rtgenmsg{});
  message.text(1, "ab").nest(2, [](NetlinkMessage& inner) { inner.u8(3, 9).u16(4, 0x0102); });
  message.finish();
  nlmsghdr header;
  std::memcpy(&header, buffer.data(), sizeof(header));
  EXPECT_EQ(header.nlmsg_len, buffer.size());
  EXPECT_EQ(buffer.size() % 4, 0u);
  std::vector<int> types;
  auto bytes = std::span(reinterpret_cast<const uint8_t*>(buffer.data()), buffer.size());
  for_each_attribute(bytes.subspan(NLMSG_HDRLEN + 4), [&](const NetlinkAttribute& attribute) {
    types.push_back(attribute.type);
    if (attribute.type == 1) {
      EXPECT_EQ(attribute.text(), "ab");
    }
    if (attribute.type == 2) {
      for_each_attribute(attribute.value,
                         [&](const NetlinkAttribute& inner) { types.push_back(10 + inner.type); });
    }
  });
  EXPECT_EQ(types, (std::vector<int>{1, 2, 13, 14}));
}

TEST(NetlinkMessage, MalformedAttributesEndTheWalk) {
  const uint8_t too_long[] = {40, 0, 1, 0, 1, 2, 3, 4};
  const uint8_t too_short[] = {3, 0, 1, 0};
  const uint8_t trailing[] = {5, 0, 1, 0, 9, 0, 0, 0, 1, 2};
  int seen = 0;
  auto count = [&](const NetlinkAttribute& attribute) {
    ++seen;
    EXPECT_EQ(attribute.u32(), 0u);  // shorter than an integer
  };
  for_each_attribute(too_long, count);
  for_each_attribute(too_short, count);
  EXPECT_EQ(seen, 0);
  for_each_attribute(trailing, count);
  EXPECT_EQ(seen, 1);
}

/// Runs each test in a network namespace of its own.
class PrivateNetwork : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "network namespaces need root";
    home_ = *open_file("/proc/thread-self/ns/net", O_RDONLY);
    ASSERT_EQ(::unshare(CLONE_NEWNET), 0);
    routes_ = *RouteSocket::open();
  }
  void TearDown() override {
    if (home_) {
      ASSERT_EQ(::setns(home_.get(), CLONE_NEWNET), 0);
    }
  }
  static ino_t current_namespace() {
    struct stat info {};
    ::stat("/proc/thread-self/ns/net", &info);
    return info.st_ino;
  }
  UniqueFd home_;
  RouteSocket routes_;
};

TEST_F(PrivateNetwork, BuildsABridgeWithAVethIntoAnotherNamespace) {
  auto inside = NetworkNamespace::create(default_network_sysctls());
  ASSERT_TRUE(inside.has_value()) << inside.error().message();
  MacAddress mac = MacAddress::random();
  RouteBatch bridge;
  bridge.create_bridge({.name = "br-test", .mac = mac, .mtu = 1400});
  ASSERT_TRUE(routes_.run(bridge).has_value());
  auto made = routes_.link("br-test");
  ASSERT_TRUE(made.has_value());
  EXPECT_EQ(made->kind, "bridge");
  EXPECT_EQ(made->mac, mac);
  EXPECT_EQ(made->mtu, 1400u);
  EXPECT_TRUE(made->up);

  RouteBatch pair;
  pair.create_veth(
      {.name = "outer", .master = made->index, .mtu = 1400, .peer_netns = inside->fd(), .peer_mac = mac});
  pair.change_bridge_port({.name = "outer", .hairpin = true, .isolated = true});
  pair.add_address({made->index, prefix("10.1.0.1/24")}).add_address({made->index, prefix("fd00:1::1/64")});
  auto ran = routes_.run(pair);
  ASSERT_TRUE(ran.has_value()) << ran.error().message();
  EXPECT_EQ(routes_.link("outer")->master, made->index);

  auto eth0 = inside->routes().link("eth0");
  ASSERT_TRUE(eth0.has_value());
  EXPECT_EQ(eth0->index, inside->next_link_index());
  EXPECT_EQ(eth0->mac, mac);
  EXPECT_EQ(eth0->mtu, 1400u);
  RouteBatch within;
  within.change_link({.index = eth0->index, .up = true});
  within.add_address({eth0->index, prefix("10.1.0.2/24")}).add_address({eth0->index, prefix("fd00:1::2/64")});
  within.add_route({.destination = prefix("0.0.0.0/0"), .gateway = ip("10.1.0.1"), .link = eth0->index});
  within.add_route({.destination = prefix("::/0"), .gateway = ip("fd00:1::1"), .link = eth0->index});
  within.set_neighbour({eth0->index, ip("10.1.0.1"), mac});
  ran = inside->routes().run(within);
  ASSERT_TRUE(ran.has_value()) << ran.error().message();

  std::vector<std::string> routes;
  auto all = *inside->routes().routes();
  for (const auto& route : all) {
    if (route.gateway) routes.push_back(route.destination.to_string() + " " + route.gateway->to_string());
  }
  EXPECT_THAT(routes, ::testing::UnorderedElementsAre("0.0.0.0/0 10.1.0.1", "::/0 fd00:1::1"));
  std::vector<std::string> addresses;
  auto present = *inside->routes().addresses();
  for (const auto& address : present) addresses.push_back(address.address.to_string());
  EXPECT_THAT(addresses, Contains("10.1.0.2/24"));
  EXPECT_THAT(addresses, Contains("fd00:1::2/64"));
  EXPECT_THAT(addresses, Contains("127.0.0.1/8"));

  RouteBatch away;
  away.delete_link("outer");
  EXPECT_TRUE(routes_.run(away).has_value());
  EXPECT_EQ(routes_.link("outer").error().kind(), Kind::NotFound);
  EXPECT_EQ(inside->routes().link("eth0").error().kind(), Kind::NotFound);
}

TEST_F(PrivateNetwork, TheFirstFailedStepIsNamed) {
  RouteBatch batch;
  batch.create_bridge({.name = "one"});
  batch.delete_link("two");
  batch.create_bridge({.name = "one"});
  batch.create_bridge({.name = "three"});
  auto ran = routes_.run(batch);
  ASSERT_FALSE(ran.has_value());
  EXPECT_EQ(ran.error().kind(), Kind::NotFound);
  EXPECT_THAT(ran.error().message(), HasSubstr("delete link two"));
  EXPECT_TRUE(routes_.link("three").has_value());
  // The socket is in step again.
  RouteBatch next;
  next.create_bridge({.name = "four"});
  EXPECT_TRUE(routes_.run(next).has_value());
}

TEST_F(PrivateNetwork, SocketsStayInTheirNamespaceAndThreadsInTheirs) {
  ino_t before = current_namespace();
  auto other = NetworkNamespace::create();
  ASSERT_TRUE(other.has_value());
  EXPECT_EQ(current_namespace(), before);
  auto socket = RouteSocket::open_in(other->fd());
  ASSERT_TRUE(socket.has_value());
  RouteBatch batch;
  batch.create_bridge({.name = "elsewhere"});
  ASSERT_TRUE(socket->run(batch).has_value());
  EXPECT_TRUE(other->routes().link("elsewhere").has_value());
  EXPECT_FALSE(routes_.link("elsewhere").has_value());
  ino_t inside = 0;
  ASSERT_TRUE(other->run_inside([&]() -> Result<void> {
    inside = current_namespace();
    return {};
  }));
  EXPECT_NE(inside, before);
  EXPECT_EQ(current_namespace(), before);
  EXPECT_EQ(RouteSocket::open_in(-1).error().errno_value(), EBADF);
}

TEST_F(PrivateNetwork, ThePoolHandsOutReadyNamespaces) {
  NetnsPool pool({.size = 2, .sysctls = default_network_sysctls()});
  std::vector<ino_t> seen;
  int with_sysfs = 0;
  for (int i = 0; i < 5; ++i) {
    while (i == 0 && pool.ready() == 0) std::this_thread::yield();
    auto taken = pool.take();
    ASSERT_TRUE(taken.has_value()) << taken.error().message();
    struct stat info {};
    ASSERT_EQ(::fstat(taken->fd(), &info), 0);
    EXPECT_THAT(seen, ::testing::Not(Contains(info.st_ino)));
    seen.push_back(info.st_ino);
    EXPECT_TRUE(taken->routes().link("lo")->up);
    std::string value;
    ASSERT_TRUE(taken->run_inside([&]() -> Result<void> {
      TRY(value, read_sysctl("net/ipv4/ip_unprivileged_port_start"));
      return {};
    }));
    EXPECT_EQ(value, "0");
    if (auto sysfs = taken->take_sysfs()) {
      // It is that of this namespace, not of ours.
      RouteBatch batch;
      batch.create_veth({.name = "veth-in", .peer_name = "veth-too"});
      ASSERT_TRUE(taken->routes().run(batch).has_value());
      EXPECT_EQ(::faccessat(sysfs.get(), "class/net/veth-in", F_OK, 0), 0);
      struct statfs kind {};
      ASSERT_EQ(::fstatfs(sysfs.get(), &kind), 0);
      EXPECT_EQ(kind.f_type, SYSFS_MAGIC);
      EXPECT_FALSE(taken->take_sysfs()) << "given away once";
      ++with_sysfs;
    }
  }
  EXPECT_GT(with_sysfs, 0);
  EXPECT_LE(pool.ready(), pool.size());
  NetnsPool none({.size = 0});
  EXPECT_TRUE(none.take().has_value());
}

TEST_F(PrivateNetwork, NfTransactionsAreAllOrNothing) {
  auto nft = NftSocket::open();
  ASSERT_TRUE(nft.has_value());
  NftSet map{"ports", 1, {NftType::Protocol, NftType::Port}, {NftType::Ipv4Address, NftType::Port}};
  NftTransaction good;
  good.add_table(NftFamily::Ip, "test");
  good.add_chain(NftFamily::Ip, "test", {"pre", NftChainType::Nat, NftHook::Prerouting, -100});
  good.add_chain(NftFamily::Ip, "test", {.name = "called"});
  good.add_set(NftFamily::Ip, "test", map);
  NftRule rule;
  rule.meta(NftRule::Meta::Protocol).transport_header(2, 2, 1).lookup_map(map, 0, 8);
  rule.counter().destination_nat(NftFamily::Ip, 8, 9);
  good.add_rule(NftFamily::Ip, "test", "pre", rule);
  good.add_rule(NftFamily::Ip, "test", "pre", NftRule().verdict(NftVerdict::Jump, "called"));
  std::vector<NftElement> elements;
  for (uint16_t port = 1; port <= 1000; ++port) {
    elements.push_back({NftKey().byte(6).port(port), NftKey().bytes(ip("10.0.0.2").bytes()).port(80)});
  }
  good.add_elements(NftFamily::Ip, "test", "ports", elements);
  auto committed = nft->commit(good);
  ASSERT_TRUE(committed.has_value()) << committed.error().message();
  EXPECT_TRUE(*nft->has_table(NftFamily::Ip, "test"));
  EXPECT_FALSE(*nft->has_table(NftFamily::Ip6, "test"));

  EXPECT_THAT(*nft->dropping_chains(NftFamily::Ip, NftHook::Forward), IsEmpty());
  NftTransaction wall;
  wall.add_table(NftFamily::Ip, "wall");
  wall.add_chain(NftFamily::Ip, "wall",
                 {.name = "f", .hook = NftHook::Forward, .priority = 0, .policy = NftVerdict::Drop});
  ASSERT_TRUE(nft->commit(wall).has_value());
  EXPECT_THAT(*nft->dropping_chains(NftFamily::Ip, NftHook::Forward), ::testing::ElementsAre("wall f"));
  ASSERT_TRUE(nft->commit(NftTransaction().delete_table(NftFamily::Ip, "wall")).has_value());

  NftTransaction bad;
  bad.add_table(NftFamily::Ip, "other");
  bad.add_elements(NftFamily::Ip, "test", "ports", std::span(elements).first(1));
  auto refused = nft->commit(bad);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().kind(), Kind::AlreadyExists);
  EXPECT_THAT(refused.error().message(), HasSubstr("add elements to ports"));
  EXPECT_FALSE(*nft->has_table(NftFamily::Ip, "other"));

  NftTransaction removal;
  removal.delete_elements(NftFamily::Ip, "test", "ports", elements);
  removal.delete_table(NftFamily::Ip, "test");
  EXPECT_TRUE(nft->commit(removal).has_value());
  EXPECT_THAT(*nft->tables(NftFamily::Ip), IsEmpty());
  EXPECT_EQ(nft->commit(NftTransaction().delete_table(NftFamily::Ip, "test")).error().kind(), Kind::NotFound);
}

}  // namespace
}  // namespace berth::sys
