// The pure half of networking: records, address pools, plans, resolv.conf and hosts, firewall transactions.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/format.h"
#include "network/address_pool.h"
#include "network/default_network.h"
#include "network/dns_names.h"
#include "network/firewall.h"
#include "network/host_ports.h"
#include "network/network_plan.h"
#include "network/parent_link.h"
#include "network/resolv_conf.h"
#include "sys/netlink_message.h"

namespace berth::network {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

IpAddress ip(std::string_view text) {
  return *IpAddress::parse(text);
}
IpPrefix prefix(std::string_view text) {
  return *IpPrefix::parse(text);
}

TEST(Records, NetworkSurvivesEncoding) {
  NetworkRecord record;
  record.id = "abc";
  record.name = "web";
  record.created = from_unix_nanoseconds(1234567890123456789);
  record.internal = true;
  record.enable_ipv6 = true;
  record.pools = {
      {prefix("10.1.0.0/16"), prefix("10.1.2.0/24"), ip("10.1.0.1"), {{"router", ip("10.1.0.9")}}},
      {prefix("fd00::/64"), {}, ip("fd00::1"), {}}};
  record.options = {{"a", "b"}};
  record.labels = {{"with \"quotes\"", "\n"}};
  record.bridge = "br-abc";
  auto decoded = decode_network(encode(record));
  ASSERT_TRUE(decoded.has_value()) << decoded.error().message();
  EXPECT_EQ(encode(*decoded), encode(record));
  EXPECT_EQ(decoded->pool(IpFamily::V4)->range, prefix("10.1.2.0/24"));
  EXPECT_EQ(decoded->pool(IpFamily::V4)->auxiliary.at("router"), ip("10.1.0.9"));
  EXPECT_EQ(decoded->created, record.created);
}

TEST(Records, EndpointSurvivesEncoding) {
  EndpointRecord record;
  record.id = "e1";
  record.network_id = "n1";
  record.container_id = "c1";
  record.container_name = "web";
  record.aliases = {"db"};
  record.interface = "eth0";
  record.host_link = "bve1";
  record.mac = *MacAddress::parse("02:42:ac:11:00:09");
  record.generated_mac = true;
  record.ipv4 = prefix("172.17.0.2/16");
  record.gateway4 = ip("172.17.0.1");
  record.is_default_gateway = true;
  record.ports = {{Protocol::Udp, 53, ip("::"), 5353}};
  auto decoded = decode_endpoint(encode(record));
  ASSERT_TRUE(decoded.has_value()) << decoded.error().message();
  EXPECT_EQ(encode(*decoded), encode(record));
  EXPECT_EQ(decoded->ports, record.ports);
  EXPECT_FALSE(decoded->ipv6.has_value());
  EXPECT_TRUE(decoded->generated_mac);
}

TEST(Records, AMacAddressOfAnEarlierVersionIsKnownAsGenerated) {
  EndpointRecord record;
  record.id = "e1";
  record.network_id = "n1";
  record.ipv4 = prefix("172.17.0.2/16");
  record.mac = *MacAddress::parse("02:42:ac:11:00:02");
  EXPECT_TRUE(decode_endpoint(encode(record))->generated_mac);
  record.mac = *MacAddress::parse("02:42:ac:11:00:03");
  EXPECT_FALSE(decode_endpoint(encode(record))->generated_mac);
}

TEST(Records, RubbishIsCorrupt) {
  for (const char* text :
       {"", "{}", "[]", "{\"id\":1}", "{\"id\":\"a\",\"name\":\"b\",\"driver\":\"x\"}",
        "{\"id\":\"a\",\"name\":\"b\",\"driver\":\"bridge\",\"pools\":[{\"subnet\":\"x\"}]}"}) {
    auto decoded = decode_network(text);
    ASSERT_FALSE(decoded.has_value()) << text;
    EXPECT_EQ(decoded.error().kind(), Kind::Corrupt);
  }
  EXPECT_EQ(decode_endpoint(
                "{\"id\":\"a\",\"network\":\"n\",\"ports\":[{\"protocol\":\"tcp\",\"host_port\":70000}]}")
                .error()
                .kind(),
            Kind::Corrupt);
}

TEST(AddressPool, GivesOutEveryAddressOnce) {
  AddressPool pool(IpamPool{prefix("10.0.0.0/29"), {}, ip("10.0.0.1"), {{"printer", ip("10.0.0.4")}}});
  std::vector<std::string> given;
  while (auto next = pool.allocate()) given.push_back(next->to_string());
  EXPECT_THAT(given, ElementsAre("10.0.0.2", "10.0.0.3", "10.0.0.5", "10.0.0.6"));
  EXPECT_EQ(pool.allocate().error().kind(), Kind::Exhausted);
  pool.release(ip("10.0.0.3"));
  EXPECT_EQ(*pool.allocate(), ip("10.0.0.3"));
}

TEST(AddressPool, TheLowestFreeAddressComesFirst) {
  AddressPool pool(IpamPool{prefix("10.0.0.0/16"), prefix("10.0.5.0/24"), ip("10.0.0.1"), {}});
  IpAddress first = *pool.allocate();
  IpAddress second = *pool.allocate();
  EXPECT_EQ(*pool.allocate(), second.plus(1));
  pool.release(second);
  pool.release(first);
  EXPECT_EQ(*pool.allocate(), first);
  EXPECT_EQ(*pool.allocate(), second);
  // One outside of the range that somebody asked for is not given out again.
  EXPECT_TRUE(pool.claim(ip("10.0.0.9")).has_value());
  pool.release(ip("10.0.0.9"));
  EXPECT_EQ(*pool.allocate(), second.plus(2));
}

TEST(AddressPool, RangeAndClaims) {
  AddressPool pool(IpamPool{prefix("10.0.0.0/16"), prefix("10.0.5.0/30"), ip("10.0.0.1"), {}});
  EXPECT_EQ(*pool.allocate(), ip("10.0.5.0"));
  EXPECT_TRUE(pool.claim(ip("10.0.9.9")).has_value());
  EXPECT_EQ(pool.claim(ip("10.0.9.9")).error().message(), "Address already in use");
  EXPECT_EQ(pool.claim(ip("10.0.0.1")).error().kind(), Kind::AlreadyExists);
  EXPECT_EQ(pool.claim(ip("10.0.255.255")).error().kind(), Kind::AlreadyExists);
  EXPECT_EQ(pool.claim(ip("10.1.0.1")).error().kind(), Kind::InvalidArgument);
  EXPECT_EQ(pool.claim(ip("fd00::1")).error().kind(), Kind::InvalidArgument);
}

TEST(AddressPool, Ipv6) {
  AddressPool pool(IpamPool{prefix("fd00::/64"), {}, ip("fd00::1"), {}});
  EXPECT_EQ(*pool.allocate(), ip("fd00::2"));
  EXPECT_EQ(*pool.allocate(), ip("fd00::3"));
  EXPECT_TRUE(pool.claim(ip("fd00::dead:beef")).has_value());
  IpPrefix ula = random_ula_subnet();
  EXPECT_EQ(ula.length, 64);
  EXPECT_EQ(ula.address.bytes()[0], 0xfd);
  EXPECT_EQ(ula, ula.network());
}

TEST(Subnets, FirstFreeDefaultPool) {
  auto choose_ipv4_subnet = [](const std::vector<IpPrefix>& used) {
    return choose_subnet(default_subnet_pools(), IpFamily::V4, used);
  };
  EXPECT_EQ(*choose_ipv4_subnet({}), prefix("172.17.0.0/16"));
  EXPECT_EQ(*choose_ipv4_subnet({prefix("0.0.0.0/0"), prefix("172.17.5.0/24")}), prefix("172.18.0.0/16"));
  EXPECT_EQ(*choose_ipv4_subnet({prefix("172.16.0.0/12")}), prefix("192.168.0.0/20"));
  EXPECT_EQ(*choose_ipv4_subnet({prefix("172.16.0.0/12"), prefix("192.168.0.0/17")}),
            prefix("192.168.128.0/20"));
  EXPECT_EQ(*choose_ipv4_subnet({prefix("172.16.0.0/12"), prefix("192.168.0.0/16"), prefix("10.128.0.0/23")}),
            prefix("10.128.2.0/24"));
  const std::vector<SubnetPool> own = {{prefix("10.9.0.0/23"), 24}, {prefix("fd00:9::/48"), 64}};
  EXPECT_EQ(*choose_subnet(own, IpFamily::V4, {prefix("10.9.0.0/24")}), prefix("10.9.1.0/24"));
  EXPECT_EQ(*choose_subnet(own, IpFamily::V6, {prefix("fd00:9::/64")}), prefix("fd00:9:0:1::/64"));
  EXPECT_FALSE(choose_subnet(own, IpFamily::V4, {prefix("10.9.0.0/23")}).has_value());
  EXPECT_EQ(choose_ipv4_subnet({prefix("172.16.0.0/12"), prefix("192.168.0.0/16"), prefix("10.0.0.0/8")})
                .error()
                .kind(),
            Kind::Exhausted);
}

std::string refused(const NetworkRequest& request, const Surroundings& surroundings = {}) {
  auto planned = plan_network(request, surroundings);
  return planned ? "accepted" : planned.error().message();
}

NetworkRequest with_pool(NetworkRequest::Pool pool) {
  NetworkRequest request;
  request.name = "web";
  request.pools = {std::move(pool)};
  return request;
}

TEST(PlanNetwork, FillsInSubnetGatewayAndBridge) {
  NetworkRequest request;
  request.name = "web";
  request.enable_ipv6 = true;
  Surroundings surroundings;
  surroundings.routes = {prefix("172.17.0.0/16")};
  auto planned = plan_network(request, surroundings);
  ASSERT_TRUE(planned.has_value()) << planned.error().message();
  EXPECT_EQ(planned->pool(IpFamily::V4)->subnet, prefix("172.18.0.0/16"));
  EXPECT_EQ(planned->pool(IpFamily::V4)->gateway, ip("172.18.0.1"));
  ASSERT_NE(planned->pool(IpFamily::V6), nullptr);
  EXPECT_EQ(planned->bridge, "br-" + planned->id.substr(0, 12));
}

TEST(PlanNetwork, RefusesInDockersWords) {
  EXPECT_EQ(refused({.name = "host"}), "operation is not permitted on predefined host network");
  EXPECT_EQ(refused({.name = "x", .driver = "host"}), "only one instance of \"host\" network is allowed");
  EXPECT_THAT(refused({.name = "x", .driver = "overlay"}), HasSubstr("plugin not found"));
  EXPECT_THAT(refused({.name = ""}), HasSubstr("invalid network name"));
  EXPECT_THAT(refused({.name = " x"}), HasSubstr("invalid network name"));
  EXPECT_THAT(refused(with_pool({.subnet = prefix("10.0.0.1/24")})),
              HasSubstr("invalid subnet 10.0.0.1/24: it should be 10.0.0.0/24"));
  EXPECT_THAT(refused(with_pool({.subnet = prefix("10.0.0.0/24"), .gateway = ip("10.0.1.1")})),
              HasSubstr("doesn't contain this address"));
  EXPECT_THAT(refused(with_pool({.subnet = prefix("10.0.0.0/24"), .range = prefix("10.0.0.0/16")})),
              HasSubstr("invalid ip-range"));
  EXPECT_THAT(refused(with_pool({.subnet = prefix("fd00::/64")})), HasSubstr("IPv6"));
  EXPECT_THAT(refused(with_pool({.subnet = prefix("10.0.0.0/32")})), HasSubstr("too small"));
  NetworkRecord other;
  other.name = "other";
  other.bridge = "br-custom";
  other.pools = {{prefix("10.0.0.0/16"), {}, ip("10.0.0.1"), {}}};
  Surroundings surroundings;
  surroundings.networks = {&other};
  EXPECT_THAT(refused(with_pool({.subnet = prefix("10.0.7.0/24")}), surroundings),
              HasSubstr("Pool overlaps with other one on this address space"));
  EXPECT_EQ(refused({.name = "other"}, surroundings), "network with name other already exists");
  EXPECT_THAT(
      refused({.name = "x", .options = {{std::string(kOptionBridgeName), "br-custom"}}}, surroundings),
      HasSubstr("networks have same bridge name"));
}

TEST(PlanNetwork, RefusesOptionsThatTheKernelWouldMisread) {
  for (const char* name : {"../../x", "a/b", "with space", "", "longer-than-15-chars", ".."}) {
    EXPECT_THAT(refused({.name = "x", .options = {{std::string(kOptionBridgeName), name}}}),
                HasSubstr("invalid bridge name"))
        << name;
  }
  EXPECT_THAT(refused({.name = "x", .options = {{std::string(kOptionMtu), "12x"}}}),
              HasSubstr("invalid value"));
  EXPECT_THAT(refused({.name = "x", .options = {{std::string(kOptionInterContainer), "maybe"}}}),
              HasSubstr("invalid value"));
}

TEST(PlanNetwork, DefaultNetwork) {
  NetworkOptions options;
  options.bridge_subnet4 = prefix("10.9.0.5/24");
  auto planned = plan_default_network(options, {});
  ASSERT_TRUE(planned.has_value());
  EXPECT_EQ(planned->bridge, "berth0");
  EXPECT_EQ(planned->pool(IpFamily::V4)->subnet, prefix("10.9.0.0/24"));
  EXPECT_EQ(planned->pool(IpFamily::V4)->gateway, ip("10.9.0.5"));
  EXPECT_TRUE(planned->enable_ipv6);
  options.instance = "0a1b2c3d";
  EXPECT_EQ(default_bridge_name(options), "berth-0a1b2c3d");
  EXPECT_EQ(instance_of_exec_root("/run/berth/"), "");
  EXPECT_EQ(instance_of_exec_root("/tmp/x").size(), 8u);
  EXPECT_NE(instance_of_exec_root("/tmp/x"), instance_of_exec_root("/tmp/y"));
}

constexpr char kHostFile[] =
    "# comment\nnameserver 127.0.0.53\nnameserver 10.0.0.2\nnameserver fe80::1%eth0\nnameserver 2001:db8::1\n"
    "domain old.example\nsearch a.example b.example\noptions edns0 trust-ad\n;other\nbogus\n";

TEST(ResolvConf, LoopbackAndUnreachableServersAreLeftOut) {
  auto with_ipv6 = make_resolv_conf(kHostFile, {}, ResolverView::OwnNamespace, true).text;
  EXPECT_THAT(with_ipv6, HasSubstr("nameserver 10.0.0.2\nnameserver 2001:db8::1\nsearch a.example b.example\n"
                                   "options edns0 trust-ad\n"));
  EXPECT_THAT(with_ipv6, Not(HasSubstr("127.0.0.53")));
  EXPECT_THAT(with_ipv6, Not(HasSubstr("fe80")));
  EXPECT_THAT(make_resolv_conf(kHostFile, {}, ResolverView::OwnNamespace, false).text,
              Not(HasSubstr("2001")));
}

TEST(ResolvConf, WithoutAnyServerGooglesAreUsed) {
  EXPECT_THAT(make_resolv_conf("", {}, ResolverView::OwnNamespace, false).text,
              HasSubstr("nameserver 8.8.8.8\nnameserver 8.8.4.4\n"));
  EXPECT_THAT(make_resolv_conf("nameserver 127.0.0.1\n", {}, ResolverView::OwnNamespace, true).text,
              HasSubstr("2001:4860:4860::8888"));
}

TEST(ResolvConf, OptionsReplaceTheHosts) {
  DnsOptions options{{"127.0.0.1", "9.9.9.9"}, {"x.example"}, {"ndots:5"}};
  EXPECT_THAT(make_resolv_conf(kHostFile, options, ResolverView::OwnNamespace, true).text,
              HasSubstr("nameserver 127.0.0.1\nnameserver 9.9.9.9\nsearch x.example\noptions ndots:5\n"));
  options.search = {"."};
  EXPECT_THAT(make_resolv_conf(kHostFile, options, ResolverView::OwnNamespace, true).text,
              Not(HasSubstr("search")));
}

TEST(ResolvConf, HostNamespaceKeepsTheFile) {
  EXPECT_EQ(make_resolv_conf(kHostFile, {}, ResolverView::HostNamespace, true).text, kHostFile);
  EXPECT_THAT(make_resolv_conf(kHostFile, {.servers = {"1.1.1.1"}}, ResolverView::HostNamespace, true).text,
              HasSubstr("nameserver 1.1.1.1\nsearch a.example"));
}

TEST(ResolvConf, EmbeddedDnsForwardsToTheHosts) {
  auto result = make_resolv_conf(kHostFile, {}, ResolverView::EmbeddedDns, true);
  EXPECT_THAT(result.text, HasSubstr("nameserver 127.0.0.11\n"));
  EXPECT_THAT(result.text, HasSubstr("options edns0 trust-ad ndots:0\n"));
  EXPECT_THAT(result.upstream, ElementsAre("127.0.0.53", "10.0.0.2", "fe80::1%eth0", "2001:db8::1"));
}

TEST(Hosts, NamesAddressesAndExtras) {
  HostsOptions options;
  options.hostname = "web";
  options.domainname = "example.org";
  options.addresses = {ip("172.17.0.2"), ip("fd00::2")};
  options.extra = {"db:10.0.0.9", "six=[fd00::9]", "gw:host-gateway", "colon:fd00::8"};
  options.host_gateways = {ip("172.17.0.1"), ip("fd00::1")};
  auto text = make_hosts(options);
  ASSERT_TRUE(text.has_value()) << text.error().message();
  EXPECT_THAT(*text, HasSubstr("127.0.0.1\tlocalhost\n"));
  EXPECT_THAT(*text, HasSubstr("10.0.0.9\tdb\nfd00::9\tsix\n172.17.0.1\tgw\nfd00::1\tgw\nfd00::8\tcolon\n"));
  EXPECT_THAT(*text, HasSubstr("172.17.0.2\tweb.example.org web\nfd00::2\tweb.example.org web\n"));
}

TEST(Hosts, MalformedExtrasAreRefused) {
  for (const char* entry :
       {"nothing", ":1.2.3.4", "a:notanip", "two words:1.2.3.4", "line\nbreak:1.2.3.4", "a:"}) {
    HostsOptions options;
    options.extra = {entry};
    EXPECT_FALSE(make_hosts(options).has_value()) << entry;
  }
  HostsOptions no_gateway;
  no_gateway.extra = {"a:host-gateway"};
  EXPECT_FALSE(make_hosts(no_gateway).has_value());
}

std::string dns_query(std::string_view name, DnsType type, uint16_t id = 0x1234) {
  std::string query = {
      static_cast<char>(id >> 8), static_cast<char>(id & 0xff), 1, 0, 0, 1, 0, 0, 0, 0, 0, 0};
  while (!name.empty()) {
    size_t dot = std::min(name.find('.'), name.size());
    query += static_cast<char>(dot);
    query += name.substr(0, dot);
    name.remove_prefix(std::min(dot + 1, name.size()));
  }
  query += '\0';
  query += {0, static_cast<char>(type), 0, 1};
  return query;
}

TEST(DnsMessage, ReadsAQuestion) {
  auto question = parse_dns_query(dns_query("Web.MyNet", DnsType::Aaaa));
  ASSERT_TRUE(question.has_value());
  EXPECT_EQ(question->name, "web.mynet");
  EXPECT_EQ(question->type, 28);
  EXPECT_EQ(question->id, 0x1234);
  EXPECT_EQ(question->end, dns_query("web.mynet", DnsType::Aaaa).size());
}

TEST(DnsMessage, NeverReadsBeyondAHostilePacket) {
  std::string good = dns_query("web.mynet", DnsType::A);
  for (size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(parse_dns_query(std::string_view(good).substr(0, size)).has_value()) << size;
  }
  std::string pointer = good;
  pointer[12] = static_cast<char>(0xc0);
  EXPECT_FALSE(parse_dns_query(pointer).has_value());
  std::string two_questions = good;
  two_questions[5] = 2;
  EXPECT_FALSE(parse_dns_query(two_questions).has_value());
  std::string response = good;
  response[2] = static_cast<char>(0x81);
  EXPECT_FALSE(is_dns_query(response));
  std::string long_name(300, 'a');
  for (size_t i = 50; i < long_name.size(); i += 50) long_name[i] = '.';
  EXPECT_FALSE(parse_dns_query(dns_query(long_name, DnsType::A)).has_value());
  EXPECT_EQ(make_dns_failure(std::string_view(good).substr(0, 12), DnsCode::FormatError).size(), 12u);
}

TEST(DnsMessage, AnswersAreOfTheQuestion) {
  std::string query = dns_query("web", DnsType::A);
  auto reply = make_dns_answer(query, *parse_dns_query(query), {{ip("172.18.0.2"), ip("172.18.0.3")}, {}});
  EXPECT_EQ(reply.substr(query.size()), std::string("\xc0\x0c\0\x01\0\x01\0\0\x02\x58\0\x04\xac\x12\0\x02"
                                                    "\xc0\x0c\0\x01\0\x01\0\0\x02\x58\0\x04\xac\x12\0\x03",
                                                    32));
  EXPECT_EQ(reply[7], 2);
  EXPECT_TRUE(is_dns_reply_to(reply, query));
  EXPECT_FALSE(is_dns_reply_to(reply, dns_query("web", DnsType::A, 0x1235)));
  EXPECT_FALSE(is_dns_reply_to(reply, dns_query("wex", DnsType::A)));
  EXPECT_FALSE(is_dns_reply_to(query, query));
}

TEST(DnsMessage, ReverseNames) {
  EXPECT_EQ(parse_reverse_name("2.0.18.172.in-addr.arpa"), ip("172.18.0.2"));
  EXPECT_EQ(parse_reverse_name("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa"),
            ip("fd00::1"));
  for (const char* bad : {"2.0.18.in-addr.arpa", "2.0.18.172.5.in-addr.arpa", "300.0.18.172.in-addr.arpa",
                          "x.ip6.arpa", ".in-addr.arpa", "web"}) {
    EXPECT_FALSE(parse_reverse_name(bad).has_value()) << bad;
  }
}

DnsDecision decide(std::string_view name, DnsType type, const DnsNetwork& network, bool has_way_out = true) {
  return decide_dns(*parse_dns_query(dns_query(name, type)), {&network}, has_way_out);
}

TEST(DnsNames, LinksAreNamesForOneContainer) {
  EndpointRecord endpoint;
  endpoint.container_name = "project-db-1";
  endpoint.ipv4 = prefix("172.18.0.2/16");
  DnsNetwork network{"mynet", false, {dns_endpoint_of(endpoint)}};
  DnsNetwork elsewhere{"other", false, {dns_endpoint_of(endpoint)}};
  DnsLinks links = {{"mynet", {{"db", "project-db-1"}, {"gone", "nobody"}}}};
  auto asked_on = [&](const DnsNetwork& one, std::string_view name) {
    return decide_dns(*parse_dns_query(dns_query(name, DnsType::A)), {&one}, true, links);
  };
  auto linked = [&](std::string_view name) { return asked_on(network, name); };
  for (const char* name : {"db", "DB", "db.mynet", "project-db-1"}) {
    EXPECT_THAT(linked(name).answer.addresses, ElementsAre(ip("172.18.0.2"))) << name;
  }
  EXPECT_EQ(linked("gone").act, DnsDecision::Act::Forward);
  EXPECT_EQ(decide("db", DnsType::A, network).act, DnsDecision::Act::Forward);
  // The link is of one network: on another that both share it is nobody's name.
  EXPECT_EQ(asked_on(elsewhere, "db.other").act, DnsDecision::Act::Forward);
}

TEST(DnsNames, ContainersAnswerByNameAliasAndShortId) {
  EndpointRecord endpoint;
  endpoint.container_id = "0123456789abcdef";
  endpoint.container_name = "Web";
  endpoint.aliases = {"api"};
  endpoint.ipv4 = prefix("172.18.0.2/16");
  DnsNetwork network{"mynet", false, {dns_endpoint_of(endpoint)}};
  for (const char* name : {"web", "WEB", "api", "0123456789ab", "web.mynet"}) {
    EXPECT_THAT(decide(name, DnsType::A, network).answer.addresses, ElementsAre(ip("172.18.0.2"))) << name;
  }
  auto no_v6 = decide("web", DnsType::Aaaa, network);
  EXPECT_EQ(no_v6.act, DnsDecision::Act::Answer);
  EXPECT_TRUE(no_v6.answer.addresses.empty());
  EXPECT_EQ(decide("2.0.18.172.in-addr.arpa", DnsType::Ptr, network).answer.pointer, "web.mynet");
  EXPECT_EQ(decide("example.org", DnsType::A, network).act, DnsDecision::Act::Forward);
  EXPECT_EQ(decide("example.org", DnsType::A, network, false).act, DnsDecision::Act::Refuse);
  EXPECT_EQ(decide("web", DnsType::A, network, false).act, DnsDecision::Act::Answer);
}

TEST(HostPorts, ConflictsAreFoundInBothDirections) {
  HostPorts ports;
  PortRequest request{Protocol::Tcp, 80, ip("127.0.0.1"), 0, 0};
  auto first = ports.hold(request, false, ip("172.17.0.2"));
  ASSERT_TRUE(first.has_value()) << first.error().message();
  ASSERT_EQ(first->size(), 1u);
  uint16_t number = (*first)[0].port.host_port;
  EXPECT_GE(number, 1024);

  PortRequest fixed{Protocol::Tcp, 81, ip("127.0.0.1"), number, number};
  EXPECT_EQ(ports.hold(fixed, false, ip("172.17.0.3")).error().message(),
            fmt::format("Bind for 127.0.0.1:{} failed: port is already allocated", number));
  // Another program, as it were: a second table knows nothing of the first's.
  HostPorts others;
  EXPECT_EQ(others.hold(fixed, false, ip("172.17.0.3")).error().message(),
            fmt::format("failed to bind host port for 127.0.0.1:{}:172.17.0.3:81/tcp: address already in use",
                        number));
  EXPECT_EQ(others.hold(fixed, false, ip("172.17.0.3")).error().kind(), Kind::AlreadyExists);
  // The same number is free for another protocol, and again after release.
  PortRequest udp{Protocol::Udp, 80, ip("127.0.0.1"), number, number};
  EXPECT_TRUE(ports.hold(udp, false, ip("172.17.0.3")).has_value());
  ports.release((*first)[0].port);
  first->clear();
  EXPECT_TRUE(ports.hold(fixed, false, ip("172.17.0.3")).has_value());
}

TEST(HostPorts, ARangeSkipsTakenPorts) {
  HostPorts ports;
  auto anchor = ports.hold({Protocol::Tcp, 80, ip("127.0.0.1"), 0, 0}, false, ip("10.0.0.2"));
  ASSERT_TRUE(anchor.has_value());
  uint16_t number = (*anchor)[0].port.host_port;
  auto next = ports.hold({Protocol::Tcp, 80, ip("127.0.0.1"), number, static_cast<uint16_t>(number + 20)},
                         false, ip("10.0.0.2"));
  ASSERT_TRUE(next.has_value()) << next.error().message();
  EXPECT_GT((*next)[0].port.host_port, number);
}

TEST(NetworkPlan, MacvlanHangsOnAnInterface) {
  NetworkRequest request{.name = "lan", .driver = "macvlan"};
  auto alone = plan_network(request, {});
  ASSERT_TRUE(alone.has_value()) << alone.error().message();
  EXPECT_TRUE(leads_nowhere(*alone));
  EXPECT_EQ(parent_name(*alone), "dm-" + alone->id.substr(0, 12));
  request.options = {{"parent", "eth0"}, {"macvlan_mode", "nope"}};
  EXPECT_EQ(plan_network(request, {}).error().kind(), Kind::InvalidArgument);
  request.options["macvlan_mode"] = "private";
  auto planned = plan_network(request, {});
  ASSERT_TRUE(planned.has_value()) << planned.error().message();
  EXPECT_EQ(planned->driver, NetworkDriver::Macvlan);
  EXPECT_TRUE(planned->bridge.empty());
  EXPECT_TRUE(planned->has_names());
  auto again = decode_network(encode(*planned));
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ(again->driver, NetworkDriver::Macvlan);
  EXPECT_FALSE(leads_nowhere(*again));
  // One parent has several macvlan networks, but one ipvlan network, and one in passthru mode.
  Surroundings surroundings{.networks = {&*again}};
  request.name = "lan2";
  EXPECT_TRUE(plan_network(request, surroundings).has_value());
  request.options["macvlan_mode"] = "passthru";
  EXPECT_EQ(plan_network(request, surroundings).error().kind(), Kind::Forbidden);
}

TEST(NetworkPlan, IpvlanModesAndFlags) {
  NetworkRequest request{
      .name = "lan", .driver = "ipvlan", .options = {{"parent", "eth0"}, {"ipvlan_mode", "l3"}}};
  auto planned = plan_network(request, {});
  ASSERT_TRUE(planned.has_value()) << planned.error().message();
  EXPECT_TRUE(routes_by_device(*planned));
  request.options["ipvlan_flag"] = "nope";
  EXPECT_EQ(plan_network(request, {}).error().kind(), Kind::InvalidArgument);
  EXPECT_EQ(ipvlan_flags("private"), 1);
  EXPECT_EQ(ipvlan_flags("vepa"), 2);
}

TEST(NetworkPlan, SeveralSubnetsWhereTheParentsNetworkHasThem) {
  NetworkRequest request{.name = "lan",
                         .driver = "macvlan",
                         .pools = {{.subnet = prefix("10.1.0.0/24")}, {.subnet = prefix("10.2.0.0/24")}},
                         .options = {{"parent", "eth0"}}};
  EXPECT_EQ(plan_network(request, {})->pools.size(), 2u);
  request.driver = "bridge";
  EXPECT_EQ(plan_network(request, {}).error().kind(), Kind::InvalidArgument);
  request.driver = "macvlan";
  request.pools[1].subnet = prefix("10.1.0.128/25");
  EXPECT_EQ(plan_network(request, {}).error().kind(), Kind::Forbidden);
}

TEST(SubnetPools, AreReadAsDockerWritesThem) {
  auto pool = parse_subnet_pool("base=10.10.0.0/16,size=24");
  ASSERT_TRUE(pool.has_value());
  EXPECT_EQ(pool->size, 24);
  for (const char* bad : {"", "size=24", "base=10.0.0.1/8,size=24", "base=10.0.0.0/16,size=8",
                          "base=10.0.0.0/16,size=31", "base=10.0.0.0/16,size=x", "base=10.0.0.0/16,nope=1"}) {
    EXPECT_FALSE(parse_subnet_pool(bad).has_value()) << bad;
  }
}

}  // namespace
}  // namespace berth::network
