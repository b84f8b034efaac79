// Tests of subordinate ids.
#include "sys/sub_ids.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace berth::sys {
namespace {

using Ranges = std::vector<IdRange>;

TEST(SubIds, ByNameAndByNumber) {
  constexpr std::string_view text = "root:1:5\nalice:100000:65536\n1000:300000:10\nalice:500000:3\n";
  EXPECT_EQ(parse_sub_ids(text, "alice", 1000), (Ranges{{100000, 65536}, {300000, 10}, {500000, 3}}));
  EXPECT_EQ(parse_sub_ids(text, "", 1000), (Ranges{{300000, 10}}));
  EXPECT_EQ(parse_sub_ids(text, "bob", 1), Ranges{});
}

TEST(SubIds, MalformedLinesAreLeftOut) {
  for (std::string_view text :
       {"alice", "alice:1", "alice:x:1", "alice:1:x", "alice:1:", "alice::1", "alice:1:0", "alice:0:5",
        "alice:4294967295:2", "alice:-1:5", "alice:1:5:6", ":1:5", "\n\n", ""}) {
    EXPECT_EQ(parse_sub_ids(text, "alice", 1000), Ranges{}) << text;
  }
}

TEST(SubIds, MapBeginsWithTheUser) {
  EXPECT_EQ(id_map_of_user(1000, {}), "0 1000 1\n");
  EXPECT_EQ(id_map_of_user(1000, {{100000, 65536}, {300000, 10}}),
            "0 1000 1\n1 100000 65536\n65537 300000 10\n");
}

TEST(SubIds, MapHasNoMoreLinesThanTheKernelTakes) {
  Ranges many(1000, IdRange{100000, 1});
  std::string map = id_map_of_user(1000, many);
  EXPECT_EQ(std::count(map.begin(), map.end(), '\n'), 340);
}

}  // namespace
}  // namespace berth::sys
