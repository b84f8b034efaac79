// What an interface says of itself, byte by byte, and as neighbours hear it.
#include "network/announcements.h"

#include "network/test_world.h"

namespace berth::network {
namespace {

const MacAddress kMac = *MacAddress::parse("02:00:5e:10:20:30");

TEST(Announcements, AreArpRequestsForOnesOwnAddress) {
  AnnouncementFrame frame = announcement_frame(ip("10.3.0.9"), kMac);
  EXPECT_EQ(frame.protocol, 0x0806);
  EXPECT_EQ(frame.to.to_string(), "ff:ff:ff:ff:ff:ff");
  EXPECT_THAT(frame.payload, ElementsAre(0, 1, 8, 0, 6, 4, 0, 1,              //
                                         0x02, 0x00, 0x5e, 0x10, 0x20, 0x30,  //
                                         10, 3, 0, 9, 0, 0, 0, 0, 0, 0, 10, 3, 0, 9));
}

TEST(Announcements, AreUnsolicitedAdvertisements) {
  AnnouncementFrame frame = announcement_frame(ip("fd00::9"), kMac);
  EXPECT_EQ(frame.protocol, 0x86dd);
  EXPECT_EQ(frame.to.to_string(), "33:33:00:00:00:01");
  const auto& packet = frame.payload;
  ASSERT_EQ(packet.size(), 40u + 32u);
  EXPECT_EQ(packet[5], 32);     // length of the payload
  EXPECT_EQ(packet[6], 58);     // ICMPv6
  EXPECT_EQ(packet[7], 255);    // hop limit
  EXPECT_EQ(packet[40], 136);   // neighbour advertisement
  EXPECT_EQ(packet[44], 0x20);  // override alone
  EXPECT_EQ(*IpAddress::from_bytes(std::span(packet).subspan(8, 16)), ip("fd00::9"));
  EXPECT_EQ(*IpAddress::from_bytes(std::span(packet).subspan(24, 16)), ip("ff02::1"));
  EXPECT_EQ(*IpAddress::from_bytes(std::span(packet).subspan(48, 16)), ip("fd00::9"));
  EXPECT_THAT(std::vector<uint8_t>(packet.begin() + 64, packet.end()),
              ElementsAre(2, 1, 0x02, 0x00, 0x5e, 0x10, 0x20, 0x30));
  // With its checksum in it the sum over pseudo header and message is all ones.
  uint32_t sum = 32 + 58;
  for (size_t i = 8; i < packet.size(); i += 2) sum += static_cast<uint32_t>(packet[i] << 8 | packet[i + 1]);
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  EXPECT_EQ(sum, 0xffffu);
}

TEST(Announcements, AreAsManyAsTheNetworksOptionsSay) {
  NetworkRecord network;
  EXPECT_EQ(announcement_schedule(network).count, 3u);
  EXPECT_EQ(announcement_schedule(network).interval, std::chrono::seconds(1));
  network.options = {{std::string(kOptionAnnouncements), "0"},
                     {std::string(kOptionAnnouncementInterval), "100"}};
  EXPECT_TRUE(check_announcements(network).has_value());
  EXPECT_EQ(announcement_schedule(network).count, 0u);
  EXPECT_EQ(announcement_schedule(network).interval, std::chrono::milliseconds(100));
  network.options = {{std::string(kOptionAnnouncements), "4"}};
  EXPECT_EQ(check_announcements(network).error().message(),
            "com.docker.network.advertise_addr_nmsgs must be in the range 0 to 3");
  network.options = {{std::string(kOptionAnnouncementInterval), "nonsense"}};
  EXPECT_EQ(
      check_announcements(network).error().message(),
      "value for option com.docker.network.advertise_addr_ms \"nonsense\" must be integer milliseconds");
}

/// What the host hears on a bridge of one protocol.
class Listener {
 public:
  Listener(uint16_t protocol, uint32_t link) : fd_(::socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_ll bound{};
    bound.sll_family = AF_PACKET;
    bound.sll_protocol = htons(protocol);
    bound.sll_ifindex = static_cast<int>(link);
    EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<sockaddr*>(&bound), sizeof(bound)), 0);
  }
  /// Whether the next frame that is like the announcement comes in time.
  bool hears(const AnnouncementFrame& frame, int milliseconds) {
    while (wait_for(fd_.get(), POLLIN, milliseconds)) {
      uint8_t buffer[256];
      ssize_t got = ::read(fd_.get(), buffer, sizeof(buffer));
      if (got > 0 && std::vector<uint8_t>(buffer, buffer + got) == frame.payload) return true;
    }
    return false;
  }

 private:
  UniqueFd fd_;
};

TEST_F(NetworksTest, AnEndpointIsAnnouncedUntilItEnds) {
  ASSERT_TRUE(networks_
                  ->create({.name = "red",
                            .enable_ipv6 = true,
                            .options = {{std::string(kOptionAnnouncementInterval), "100"}}})
                  .has_value());
  uint32_t bridge = host_.routes().link((*networks_->find("red"))->bridge)->index;
  Container web = run("web", {}, "red");
  EXPECT_TRUE(web.endpoint.generated_mac);
  AnnouncementFrame arp = announcement_frame(web.v4(), web.endpoint.mac);
  AnnouncementFrame advertisement = announcement_frame(web.v6(), web.endpoint.mac);
  Listener ipv4(arp.protocol, bridge);
  Listener ipv6(advertisement.protocol, bridge);
  networks_->announce(web.endpoint.id, web.netns.fd());
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(ipv4.hears(arp, kPatience)) << i;
    EXPECT_TRUE(ipv6.hears(advertisement, kPatience)) << i;
  }
  EXPECT_FALSE(ipv4.hears(arp, kRefusal));
  networks_->announce(web.endpoint.id, web.netns.fd());
  EXPECT_TRUE(ipv4.hears(arp, kPatience));
  ASSERT_TRUE(networks_->detach(web.endpoint.id).has_value());
  // One may have been under way.
  (void)ipv4.hears(arp, 0);
  EXPECT_FALSE(ipv4.hears(arp, kRefusal));
  networks_->announce(web.endpoint.id, web.netns.fd());
}

TEST_F(NetworksTest, NothingIsAnnouncedWhereNobodyWantsIt) {
  ASSERT_TRUE(
      networks_->create({.name = "red", .options = {{std::string(kOptionAnnouncements), "0"}}}).has_value());
  Container web = run("web", {}, "red");
  AnnouncementFrame arp = announcement_frame(web.v4(), web.endpoint.mac);
  Listener ipv4(arp.protocol, host_.routes().link((*networks_->find("red"))->bridge)->index);
  networks_->announce(web.endpoint.id, web.netns.fd());
  EXPECT_FALSE(ipv4.hears(arp, kRefusal));
}

}  // namespace
}  // namespace berth::network
