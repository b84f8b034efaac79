// Links between containers that do not reach each other otherwise.
#include "network/test_world.h"
#include "sys/netlink_neighbour.h"

namespace berth::network {
namespace {

class LinksTest : public NetworksTest {
 protected:
  void SetUp() override {
    NetworksTest::SetUp();
    if (IsSkipped()) return;
    // Where bridged packets pass the IP hooks, redirected ones stay on the bridge and are isolated as well.
    (void)sys::write_sysctl("net/bridge/bridge-nf-call-iptables", "0");
    networks_.reset();
    networks_ = start({}, {}, {.inter_container = false});
  }

  void link(const std::string& source, const std::string& target, std::vector<ExposedPort> ports) {
    auto opened =
        networks_->open_link({.source = "id-" + source, .target = "id-" + target, .ports = std::move(ports)});
    ASSERT_TRUE(opened.has_value()) << opened.error().message();
  }
  std::vector<IpAddress> answered() { return *sys::neighbour_proxies(host_.routes().link("berth0")->index); }
  /// Everybody's records, as the engine would hand them to the next daemon.
  std::vector<NetworkRecord> records() {
    std::vector<NetworkRecord> all;
    for (const auto* network : networks_->list()) all.push_back(*decode_network(encode(*network)));
    return all;
  }
};

std::string refused(const Container& from, const IpAddress& address, uint16_t port, int type = SOCK_STREAM) {
  return ask(&from.netns, address, port, type, kRefusal);
}

TEST_F(LinksTest, OpenTheExposedPortsInOneDirection) {
  Container web = run("web");
  Container client = run("client");
  Container other = run("other");
  EchoServer exposed(&web.netns, 80);
  EchoServer datagrams(&web.netns, 53, SOCK_DGRAM);
  EchoServer hidden(&web.netns, 81);
  EchoServer backwards(&client.netns, 80);
  for (const IpAddress& address : {web.v4(), web.v6()})
    EXPECT_NE(refused(client, address, 80),
              address.is_v4() ? client.v4().to_string() : client.v6().to_string());
  link("client", "web", {{Protocol::Tcp, 80}, {Protocol::Udp, 53}, {Protocol::Tcp, 80}});
  for (auto address : {&Container::v4, &Container::v6}) {
    const std::string own = (client.*address)().to_string();
    EXPECT_EQ(ask(&client.netns, (web.*address)(), 80), own);
    EXPECT_EQ(ask(&client.netns, (web.*address)(), 53, SOCK_DGRAM), own);
    EXPECT_EQ(refused(client, (web.*address)(), 81), "timeout");
    EXPECT_EQ(refused(client, (web.*address)(), 80, SOCK_DGRAM), "timeout");
    EXPECT_EQ(refused(web, (client.*address)(), 80), "timeout");
    EXPECT_EQ(refused(other, (web.*address)(), 80), "timeout");
    EXPECT_EQ(refused(other, (client.*address)(), 80), "timeout");
  }
  networks_->close_link("bridge", "id-client", "id-web");
  EXPECT_EQ(refused(client, web.v4(), 80), "timeout");
  EXPECT_EQ(refused(client, web.v6(), 80), "timeout");
  EXPECT_THAT(answered(), IsEmpty());
  EXPECT_EQ(*sys::read_sysctl("net/ipv4/conf/berth0/proxy_arp_pvlan"), "0");
}

TEST_F(LinksTest, EndAlsoForWhatHasBegun) {
  Container server = run("server");
  Container client = run("client");
  EchoServer datagrams(&server.netns, 53, SOCK_DGRAM);
  link("client", "server", {{Protocol::Udp, 53}});
  UniqueFd fd = socket_in(&client.netns, AF_INET, SOCK_DGRAM);
  SocketAddress target(server.v4(), 53);
  ASSERT_EQ(::connect(fd.get(), target.get(), target.size()), 0);
  char buffer[64];
  ASSERT_EQ(::write(fd.get(), "x", 1), 1);
  ASSERT_TRUE(wait_for(fd.get(), POLLIN, kPatience));
  ASSERT_GT(::read(fd.get(), buffer, sizeof(buffer)), 0);
  networks_->close_link("bridge", "id-client", "id-server");
  ASSERT_EQ(::write(fd.get(), "x", 1), 1);
  EXPECT_FALSE(wait_for(fd.get(), POLLIN, kRefusal));
}

TEST_F(LinksTest, NobodyElseGetsThroughTheHost) {
  Container web = run("web");
  Container evil = run("evil");
  EchoServer server(&web.netns, 80);
  // As one does who writes frames to the host's MAC address by hand: the host is asked to pass them on.
  uint32_t inside = evil.netns.routes().link("eth0")->index;
  auto bridge = host_.routes().link("berth0");
  sys::RouteBatch batch;
  batch.set_neighbour({inside, web.v4(), bridge->mac}).set_neighbour({inside, web.v6(), bridge->mac});
  ASSERT_TRUE(evil.netns.routes().run(batch).has_value());
  EXPECT_EQ(refused(evil, web.v4(), 80), "timeout");
  EXPECT_EQ(refused(evil, web.v6(), 80), "timeout");
  // Nor straight to the other's.
  sys::RouteBatch direct;
  direct.set_neighbour({inside, web.v4(), web.endpoint.mac})
      .set_neighbour({inside, web.v6(), web.endpoint.mac});
  ASSERT_TRUE(evil.netns.routes().run(direct).has_value());
  EXPECT_EQ(refused(evil, web.v4(), 80), "timeout");
  EXPECT_EQ(refused(evil, web.v6(), 80), "timeout");
}

TEST_F(LinksTest, TheHostTellsNobodyToTakeAnotherWay) {
  Container web = run("web");
  Container client = run("client");
  EchoServer server(&web.netns, 80);
  // The host knows both, and has an address to send redirects from: it would tell the client where web is.
  ASSERT_EQ(ask(nullptr, web.v6(), 80), gateway(IpFamily::V6).to_string());
  uint32_t bridge = host_.routes().link("berth0")->index;
  sys::RouteBatch batch;
  batch.add_address({bridge, prefix("fe80::77/64")});
  ASSERT_TRUE(host_.routes().run(batch).has_value());
  link("client", "web", {{Protocol::Tcp, 80}});
  for (int i = 0; i < 5; ++i) EXPECT_EQ(ask(&client.netns, web.v6(), 80), client.v6().to_string()) << i;
}

TEST_F(LinksTest, GoWithEitherContainerAndComeBack) {
  Container client = run("client");
  {
    Container web = run("web");
    EchoServer server(&web.netns, 80);
    link("client", "web", {{Protocol::Tcp, 80}});
    EXPECT_EQ(ask(&client.netns, web.v4(), 80), client.v4().to_string());
    ASSERT_TRUE(networks_->detach(web.endpoint.id)->run().has_value());
  }
  EXPECT_THAT(answered(), IsEmpty());
  Container between = run("between");
  Container web = run("web");
  EchoServer server(&web.netns, 80);
  EchoServer taken(&between.netns, 80);
  EXPECT_EQ(refused(client, between.v4(), 80), "timeout");
  link("client", "web", {{Protocol::Tcp, 80}});
  EXPECT_EQ(ask(&client.netns, web.v4(), 80), client.v4().to_string());
  EXPECT_EQ(ask(&client.netns, web.v6(), 80), client.v6().to_string());
  EXPECT_EQ(refused(client, between.v4(), 80), "timeout");
  ASSERT_TRUE(networks_->detach(client.endpoint.id).has_value());
  EXPECT_THAT(answered(), IsEmpty());
  // A container that is not there has no links, and it is no error.
  link("client", "web", {{Protocol::Tcp, 80}});
}

TEST_F(LinksTest, AreOpenedAgainByTheNextDaemon) {
  Container web = run("web");
  Container client = run("client");
  Container former = run("former");
  EchoServer server(&web.netns, 80);
  link("client", "web", {{Protocol::Tcp, 80}});
  link("former", "web", {{Protocol::Tcp, 80}});
  EXPECT_EQ(answered().size(), 3u);
  auto networks = records();
  networks_.reset();
  EXPECT_EQ(ask(&client.netns, web.v4(), 80), client.v4().to_string());
  networks_ = start(networks, {web.endpoint, client.endpoint}, {.inter_container = false});
  EXPECT_EQ(refused(client, web.v4(), 80), "timeout");
  link("client", "web", {{Protocol::Tcp, 80}});
  EXPECT_EQ(ask(&client.netns, web.v4(), 80), client.v4().to_string());
  EXPECT_EQ(ask(&client.netns, web.v6(), 80), client.v6().to_string());
  // What was left of the one that has ended is not answered for.
  EXPECT_EQ(answered().size(), 2u);
  // Tables that somebody has flushed are written with their links.
  sys::NftTransaction flush;
  flush.delete_table(sys::NftFamily::Ip, "berth").delete_table(sys::NftFamily::Ip6, "berth");
  ASSERT_TRUE(sys::NftSocket::open()->commit(flush).has_value());
  Container next = run("next", {tcp(8080, 80)});
  EXPECT_EQ(ask(&client.netns, web.v4(), 80), client.v4().to_string());
  EXPECT_EQ(refused(next, web.v4(), 80), "timeout");
}

TEST_F(LinksTest, AreNotNeededWhereContainersReachEachOther) {
  networks_.reset();
  networks_ = start({}, {});
  Container web = run("web");
  Container client = run("client");
  EchoServer server(&web.netns, 80);
  link("client", "web", {{Protocol::Tcp, 81}});
  EXPECT_THAT(answered(), IsEmpty());
  EXPECT_EQ(ask(&client.netns, web.v4(), 80), client.v4().to_string());
}

}  // namespace
}  // namespace berth::network
