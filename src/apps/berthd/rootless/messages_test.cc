// Tests of what daemon and namespace host say to each other.
#include "apps/berthd/rootless/messages.h"

#include <gtest/gtest.h>

namespace berth::berthd::rootless {
namespace {

TEST(Messages, ComeBackAsTheyWere) {
  for (const char* text : {"127.0.0.1", "::1"}) {
    auto address = sys::IpAddress::parse(text).value();
    Request request = request_for(Ask::Hold, network::Protocol::Udp, address, 53);
    auto read = parse_request(bytes_of(request));
    ASSERT_TRUE(read);
    EXPECT_EQ(*read, request);
    EXPECT_EQ(address_of(*read), address);
  }
}

TEST(Messages, OthersAreRefused) {
  Request request;
  std::string bytes(bytes_of(request));
  EXPECT_TRUE(parse_request(bytes));
  EXPECT_FALSE(parse_request(bytes.substr(1)));
  EXPECT_FALSE(parse_request(bytes + "x"));
  EXPECT_FALSE(parse_request(""));
  request.version = kProtocolVersion + 1;
  EXPECT_FALSE(parse_request(bytes_of(request)));
  request = {.ask = static_cast<Ask>(99)};
  EXPECT_FALSE(parse_request(bytes_of(request)));
  request = {.ask = Ask::Hold, .family = 5};
  EXPECT_FALSE(address_of(request));
}

}  // namespace
}  // namespace berth::berthd::rootless
