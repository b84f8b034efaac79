// Tests of user namespace modes and their maps.
#include "engine/user_namespace.h"

#include <gtest/gtest.h>

namespace berth::engine {
namespace {

TEST(UserMode, Reads) {
  for (const char* text : {"", "host", "default"})
    EXPECT_EQ(parse_user_mode(text)->kind, UserMode::Kind::Host) << text;
  EXPECT_EQ(parse_user_mode("auto")->size, 65536u);
  auto kept = parse_user_mode("auto:size=2048,uid=7,gid=9").value();
  EXPECT_EQ(kept.kind, UserMode::Kind::Auto);
  EXPECT_EQ(kept.size, 2048u);
  EXPECT_EQ(kept.uid, 7u);
  EXPECT_EQ(kept.gid, 9u);
  EXPECT_EQ(parse_user_mode("keep-id:uid=200")->uid, 200u);
}

TEST(UserMode, Refuses) {
  for (const char* text :
       {"private", "nomap", "container:x", "auto:size", "auto:size=1", "auto:size=x", "auto:colour=1",
        "keep-id:size=2048", "keep-id:uid=-1", "keep-id:uid=4294967296"}) {
    auto mode = parse_user_mode(text);
    ASSERT_FALSE(mode) << text;
    EXPECT_NE(mode.error().message().find("invalid user namespace mode"), std::string::npos) << text;
  }
}

TEST(UserMaps, OfARange) {
  spec::HostConfig host;
  EXPECT_FALSE(user_maps(host).value());
  host.userns_mode = "auto:size=1024,uid=100000,gid=200000";
  auto maps = user_maps(host).value();
  ASSERT_TRUE(maps);
  EXPECT_EQ(outside_id(maps.uids, 0), 100000u);
  EXPECT_EQ(outside_id(maps.gids, 1023), 201023u);
}

}  // namespace
}  // namespace berth::engine
