// Command lines, signals, cgroup paths and limits of the OCI runtime.
#include <gtest/gtest.h>

#include "apps/runtime/flags.h"
#include "apps/runtime/resources.h"
#include "apps/runtime/signals.h"

namespace berth::runtime {
namespace {

constexpr Flag kFlags[] = {
    {"bundle", FlagKind::Value, 'b'}, {"force", FlagKind::Switch, 'f'}, {"env", FlagKind::List, 'e'}};

Result<CommandLine> parse(std::vector<std::string> words) {
  return CommandLine::parse(words, kFlags, CommandLine::Order::FlagsFirst);
}

TEST(CommandLine, TakesTheFormsThatCallersWrite) {
  auto line = parse({"--bundle", "/a", "-f", "-e", "A=1", "--env=B=2", "id", "--bundle", "x"});
  ASSERT_TRUE(line);
  EXPECT_EQ(line->text("bundle"), "/a");
  EXPECT_TRUE(line->on("force"));
  EXPECT_EQ(line->list("env"), (std::vector<std::string>{"A=1", "B=2"}));
  EXPECT_EQ(line->arguments(), (std::vector<std::string>{"id", "--bundle", "x"}));
  EXPECT_EQ(parse({"-bundle=/b", "--", "-f"})->text("bundle"), "/b");
  EXPECT_EQ(parse({"--", "-f"})->arguments(), std::vector<std::string>{"-f"});
  EXPECT_FALSE(parse({"--force=false"})->on("force"));
}

TEST(CommandLine, NamesWhatIsWrong) {
  EXPECT_EQ(parse({"--nope"}).error().message(), "unknown flag: --nope");
  EXPECT_EQ(parse({"--bundle"}).error().message(), "flag needs a value: --bundle");
  EXPECT_EQ(parse({"--bundle", "x"})->number("bundle", 0).error().message(),
            "--bundle: \"x\" is not a number");
  EXPECT_FALSE(parse({})->argument(0, "the id"));
}

TEST(Flags, StandBehindArgumentsToo) {
  std::vector<std::string> words{"id", "--bundle", "/a", "more", "--", "--bundle"};
  auto line = CommandLine::parse(words, kFlags);
  ASSERT_TRUE(line);
  EXPECT_EQ(line->text("bundle"), "/a");
  EXPECT_EQ(line->arguments(), (std::vector<std::string>{"id", "more", "--bundle"}));
}

TEST(Signals, ByNameAndNumber) {
  EXPECT_EQ(parse_signal("9").value(), 9);
  EXPECT_EQ(parse_signal("SIGTERM").value(), 15);
  EXPECT_EQ(parse_signal("hup").value(), 1);
  EXPECT_EQ(parse_signal("RTMIN+3").value(), 37);
  EXPECT_EQ(parse_signal("SIGRTMAX-1").value(), 63);
  for (const char* bad : {"", "-1", "65", "SIGNOPE", "RTMIN+99", "9x"})
    EXPECT_FALSE(parse_signal(bad)) << bad;
}

TEST(GroupPath, StaysWhereItIsPut) {
  EXPECT_EQ(group_path("", "id").value(), "/berth-runtime/id");
  EXPECT_EQ(group_path("/a//b/./c", "id").value(), "/a/b/c");
  EXPECT_EQ(group_path("a/b", "id").value(), "/a/b");
  EXPECT_EQ(group_path("/a/../b", "id").error().kind(), Kind::InvalidArgument);
  EXPECT_EQ(group_path("/", "id").error().kind(), Kind::InvalidArgument);
  EXPECT_EQ(group_path("system.slice:crio:abc", "id").error().kind(), Kind::Unsupported);
}

TEST(Limits, ZerosOfGoEncodersAreNotAskedFor) {
  spec::Resources resources;
  resources.cpu.shares = 0;
  resources.cpu.quota = 0;
  resources.memory.limit = 1 << 20;
  resources.pids_limit = 7;
  auto limits = limits_of(resources);
  EXPECT_FALSE(limits.cpu_shares);
  EXPECT_FALSE(limits.cpu_quota);
  EXPECT_EQ(limits.memory, 1 << 20);
  EXPECT_EQ(limits.pids, 7);
}

}  // namespace
}  // namespace berth::runtime
