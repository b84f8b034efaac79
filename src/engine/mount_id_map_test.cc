// The option "idmap".
#include "engine/mount_id_map.h"

#include <gtest/gtest.h>

#include "engine/mount_points.h"

namespace berth::engine {
namespace {

TEST(IdMapOption, ReadsRanges) {
  auto map = parse_id_map_option("idmap=uids=1000-0-1#0-1000-@5;gids=7-8-9");
  EXPECT_FALSE(map) << "the mark stands before an id";
  map = parse_id_map_option("idmap=uids=1000-0-1#2000-@5-10;gids=7-8-9");
  ASSERT_TRUE(map) << map.error().message();
  ASSERT_EQ(map->uids.size(), 2u);
  EXPECT_EQ(map->uids[0].disk, 1000u);
  EXPECT_EQ(map->uids[0].inside, 0u);
  EXPECT_EQ(map->uids[0].size, 1u);
  EXPECT_FALSE(map->uids[0].relative);
  EXPECT_TRUE(map->uids[1].relative);
  EXPECT_EQ(map->gids[0].inside, 8u);
  EXPECT_TRUE(parse_id_map_option("idmap=gids=0-1-2")->uids.empty());
  EXPECT_TRUE(parse_id_map_option("idmap")->is_containers_own());
}

TEST(IdMapOption, RefusesWhatIsNoMap) {
  for (const char* word :
       {"idmap=", "idmap=uids=", "idmap=uids=1", "idmap=uids=1-2", "idmap=uids=1-2-0", "idmap=uids=a-b-c",
        "idmap=uids=-1-0-1", "idmap=uids=0-0-4294967296", "idmap=uids=4294967295-0-1",
        "idmap=uids=0-4294967290-10", "idmap=uids=0-0-10#5-20-1", "idmap=uids=0-0-10#20-5-1",
        "idmap=uids=0-0-1;uids=1-1-1", "idmap=users=0-0-1", "idmap=uids=0-0-1;", "idmap=uids=0-0-1#"})
    EXPECT_FALSE(parse_id_map_option(word)) << word;
  std::string many = "idmap=uids=0-0-1";
  for (int i = 1; i < 400; ++i) many += "#" + std::to_string(2 * i) + "-" + std::to_string(2 * i) + "-1";
  EXPECT_FALSE(parse_id_map_option(many));
}

TEST(IdMapOption, StandsAmongTheOptionsOfABind) {
  auto bind = parse_bind("/a:/b:ro,idmap=uids=1-2-3", "");
  ASSERT_TRUE(bind) << bind.error().message();
  EXPECT_FALSE(bind->read_write);
  auto map = id_map_of_mode(bind->mode);
  ASSERT_TRUE(map && *map);
  EXPECT_EQ((*map)->uids[0].size, 3u);
  EXPECT_FALSE(id_map_of_mode("ro,z").value());
  EXPECT_FALSE(parse_bind("/a:/b:idmap,idmap", ""));
  EXPECT_FALSE(parse_bind("/a:/b:idmapped", ""));
}

TEST(IdMapOption, AloneNeedsAUserNamespace) {
  MountIdMap own;
  EXPECT_FALSE(check_id_map(own, "", "/b"));
  EXPECT_FALSE(check_id_map(own, "host", "/b"));
  EXPECT_TRUE(check_id_map(own, "auto", "/b"));
  EXPECT_TRUE(check_id_map(*parse_id_map_option("idmap=uids=0-1-1"), "", "/b"));
}

}  // namespace
}  // namespace berth::engine
