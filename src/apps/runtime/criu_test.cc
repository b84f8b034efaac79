// The flags of checkpoint and restore, and what is read beside images.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "apps/runtime/criu_flags.h"
#include "launch/criu_container.h"
#include "launch/stdio_record.h"

namespace berth::runtime {
namespace {

using launch::can_be_given;
using launch::cgroup_roots;
using launch::is_outside_file;
using launch::parse_descriptors;

using testing::ElementsAre;
using testing::Pair;

Result<CriuFlags> flags(std::vector<std::string> words) {
  auto line = CommandLine::parse(words, flags_of_checkpoint());
  if (!line) return std::move(line).error();
  return criu_flags(*line);
}

TEST(CriuFlags, AsPeersHaveThem) {
  auto given =
      flags({"--leave-running", "--tcp-established", "--ext-unix-sk", "--shell-job", "--file-locks",
             "--link-remap", "--tcp-skip-in-flight", "--page-server", "[::1]:77", "--lazy-pages",
             "--manage-cgroups-mode", "strict", "--empty-ns", "network", "--network-lock", "skip", "id"});
  ASSERT_TRUE(given);
  const auto& options = given->options;
  EXPECT_TRUE(options.leave_running && options.tcp_established && options.external_unix_sockets);
  EXPECT_TRUE(options.shell_job && options.file_locks && options.link_remap && options.tcp_skip_in_flight);
  EXPECT_TRUE(options.lazy_pages);
  EXPECT_EQ(options.page_server, "::1");
  EXPECT_EQ(options.page_server_port, 77);
  EXPECT_EQ(options.cgroups, launch::CriuCgroups::Strict);
  EXPECT_EQ(options.network_lock, launch::CriuNetworkLock::Skip);
  EXPECT_EQ(given->images, "checkpoint");
  EXPECT_FALSE(options.track_memory);
  EXPECT_TRUE(flags({"--parent-path", "../a", "id"})->options.track_memory);
  EXPECT_TRUE(flags({"--pre-dump", "id"})->options.track_memory);
}

TEST(CriuFlags, NameWhatIsWrong) {
  for (std::vector<std::string> bad : {std::vector<std::string>{"--page-server", "host"},
                                       {"--page-server", ":1"},
                                       {"--page-server", "a:0"},
                                       {"--page-server", "a:70000"},
                                       {"--page-server", "a:1x"},
                                       {"--empty-ns", "pid"},
                                       {"--manage-cgroups-mode", "props"},
                                       {"--network-lock", "none"},
                                       {"--status-fd", "999"},
                                       {"--status-fd", "-3"},
                                       {"--image-path", ""}}) {
    auto given = flags(bad);
    ASSERT_FALSE(given) << bad[0] << " " << bad[1];
    EXPECT_NE(given.error().message().find(bad[0]), std::string::npos) << given.error().message();
  }
  EXPECT_FALSE(flags({"--detach", "id"}));
}

TEST(Descriptors, OfACheckpoint) {
  EXPECT_THAT(*parse_descriptors(R"(["pipe:[1]","/dev/null","file[1a:2]"])"),
              ElementsAre("pipe:[1]", "/dev/null", "file[1a:2]"));
  EXPECT_TRUE(parse_descriptors("null")->empty());
  for (const char* bad : {"", "{}", "[1]", "[[]]", R"(["a","b","c","d"])", R"(["a"] x)"})
    EXPECT_EQ(parse_descriptors(bad).error().kind(), Kind::InvalidArgument) << bad;
  EXPECT_TRUE(can_be_given("pipe:[1]") && can_be_given("file[1a:2]"));
  EXPECT_FALSE(can_be_given("/dev/null") || can_be_given("") || can_be_given("pipe:[1"));
  EXPECT_TRUE(is_outside_file("file[1a:2]"));
  EXPECT_FALSE(is_outside_file("pipe:[1]"));
}

TEST(CgroupRoots, OfAllHierarchies) {
  EXPECT_THAT(cgroup_roots("9:name=systemd:/a/t1\n2:cpu,cpuacct:/b:c\n0::/d\nnonsense\n"),
              ElementsAre(Pair("name=systemd", "/a/t1"), Pair("cpu", "/b:c"), Pair("cpuacct", "/b:c"),
                          Pair("", "/d")));
}

}  // namespace
}  // namespace berth::runtime
