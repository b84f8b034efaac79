// Transactions of the firewall's tables, without a kernel.
#include "network/firewall.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/netlink.h>

#include <cstring>

namespace berth::network {
namespace {

using ::testing::ElementsAre;

IpAddress ip(std::string_view text) {
  return *IpAddress::parse(text);
}

/// The types of a transaction's messages, in order.
std::vector<int> message_types(const sys::NftTransaction& transaction) {
  std::vector<int> types;
  const std::string& bytes = transaction.bytes();
  for (size_t at = 0; at + sizeof(nlmsghdr) <= bytes.size();) {
    nlmsghdr header;
    std::memcpy(&header, bytes.data() + at, sizeof(header));
    types.push_back(header.nlmsg_type & 0xff);
    if (header.nlmsg_len < sizeof(header)) break;
    at += NLMSG_ALIGN(header.nlmsg_len);
  }
  return types;
}

TEST(Firewall, PublishingIsOneElementPerFamilyInOneTransaction) {
  constexpr int kBegin = 16;
  constexpr int kNewElements = 12;
  constexpr int kDeleteElements = 14;
  PublishedRules ports;
  ports.forwards = {{Protocol::Tcp, ip("0.0.0.0"), 8080, ip("172.17.0.2"), 80},
                    {Protocol::Tcp, ip("::"), 8080, ip("fd00::2"), 80}};
  EXPECT_THAT(message_types(plan_publish("berth", ports)), ElementsAre(kBegin, kNewElements, kNewElements));
  EXPECT_THAT(message_types(plan_unpublish("berth", ports)),
              ElementsAre(kBegin, kDeleteElements, kDeleteElements));
  EXPECT_TRUE(plan_publish("berth", {}).empty());
  // Key {6,0,0,0, 0x1f,0x90,0,0} and data {172,17,0,2, 0,80,0,0}.
  EXPECT_NE(plan_publish("berth", ports).bytes().find(std::string("\x06\0\0\0\x1f\x90\0\0", 8)),
            std::string::npos);
  EXPECT_NE(plan_publish("berth", ports).bytes().find(std::string("\xac\x11\0\x02\0\x50\0\0", 8)),
            std::string::npos);
}

TEST(Firewall, OpenPortsAreOneElementEach) {
  constexpr int kBegin = 16;
  constexpr int kNewElements = 12;
  PublishedRules ports;
  ports.open = {{Protocol::Tcp, ip("172.17.0.2"), 80}, {Protocol::Udp, ip("172.17.0.2"), 53}};
  auto transaction = plan_publish("berth", ports);
  EXPECT_THAT(message_types(transaction), ElementsAre(kBegin, kNewElements));
  EXPECT_NE(transaction.bytes().find(std::string("\x06\0\0\0\xac\x11\0\x02\0\x50\0\0", 12)),
            std::string::npos);
  EXPECT_NE(transaction.bytes().find(std::string("\x11\0\0\0\xac\x11\0\x02\0\x35\0\0", 12)),
            std::string::npos);
}

}  // namespace
}  // namespace berth::network
