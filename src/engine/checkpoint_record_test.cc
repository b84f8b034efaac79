// What is noted beside a checkpoint's images, and names.
#include "engine/checkpoint_record.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "sys/file.h"

namespace berth::engine {
namespace {

TEST(CheckpointNames, AsDockerHasThem) {
  for (const char* good : {"c1", "C.1", "9_-", "checkpoint-2026.01"})
    EXPECT_TRUE(check_checkpoint_name(good)) << good;
  for (const std::string& bad :
       {std::string(), std::string("c"), std::string(".c"), std::string("-c"), std::string("a/b"),
        std::string(".."), std::string("a b"), std::string("a\0b", 3), std::string(129, 'a')})
    EXPECT_EQ(check_checkpoint_name(bad).error().kind(), Kind::InvalidArgument) << bad;
}

TEST(CheckpointRecord, ComesBackAsItWasWritten) {
  char folder[] = "/tmp/berth.checkpoint.XXXXXX";
  ASSERT_NE(::mkdtemp(folder), nullptr);
  sys::UniqueFd directory(::open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  EXPECT_FALSE(is_checkpoint(folder));
  CheckpointRecord record{.container = "0123", .created = from_unix_nanoseconds(1'700'000'000'000'000'000)};
  record.networks["bridge"] = {"172.17.0.2", ""};
  record.networks["six"] = {"", "fd00::2"};
  ASSERT_TRUE(write_checkpoint_record(directory.get(), record));
  EXPECT_TRUE(is_checkpoint(folder));
  auto read = read_checkpoint_record(directory.get());
  ASSERT_TRUE(read);
  EXPECT_EQ(read->container, "0123");
  EXPECT_EQ(read->created, record.created);
  EXPECT_EQ(read->networks.at("bridge").ipv4, "172.17.0.2");
  EXPECT_EQ(read->networks.at("six").ipv6, "fd00::2");
  // A link in its place is neither a checkpoint nor followed.
  ASSERT_EQ(::unlinkat(directory.get(), "checkpoint.json", 0), 0);
  ASSERT_EQ(::symlinkat("/etc/passwd", directory.get(), "checkpoint.json"), 0);
  EXPECT_FALSE(is_checkpoint(folder));
  EXPECT_FALSE(read_checkpoint_record(directory.get()));
  ASSERT_TRUE(sys::remove_tree(folder));
}

TEST(CheckpointRecord, RefusesWhatIsNoneOfOurs) {
  for (const char* bad :
       {"", "[]", "{", "{}", R"({"Created":7})", R"({"Created":"2026-01-01T00:00:00Z","Networks":[]})",
        R"({"Created":"2026-01-01T00:00:00Z","Networks":{"a":"b"}})",
        R"({"Created":"2026-01-01T00:00:00Z","Networks":{"a":{"IPv4":4}}})"})
    EXPECT_EQ(parse_checkpoint_record(bad).error().kind(), Kind::Corrupt) << bad;
}

}  // namespace
}  // namespace berth::engine
