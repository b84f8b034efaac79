// Names of scopes, and limits and annotations as systemd's properties.
#include "apps/runtime/scope_properties.h"

#include <gtest/gtest.h>

namespace berth::runtime {
namespace {

std::map<std::string, sys::DbusValue> by_name(Result<std::vector<sys::DbusProperty>> properties) {
  EXPECT_TRUE(properties) << properties.error().message();
  std::map<std::string, sys::DbusValue> result;
  if (properties)
    for (auto& property : *properties) result[property.name] = std::move(property.value);
  return result;
}

TEST(ScopeName, IsAsCallersExpectIt) {
  auto docker = scope_name("system.slice:docker:4f5a", "id");
  ASSERT_TRUE(docker);
  EXPECT_EQ(docker->slice, "system.slice");
  EXPECT_EQ(docker->unit, "docker-4f5a.scope");
  EXPECT_EQ(scope_name("machine-a.slice:libpod:x", "id")->unit, "libpod-x.scope");
  EXPECT_EQ(scope_name(":cri-containerd:x", "id")->slice, "");
  EXPECT_EQ(scope_name("user.slice::x", "id")->unit, "x.scope");
  EXPECT_EQ(scope_name("", "id")->unit, "berth-runtime-id.scope");
}

TEST(ScopeName, RefusesWhatIsNone) {
  for (const char* bad :
       {"/a/b", "a.slice:b", "a:b:c", "../x.slice:b:c", "-a.slice:b:c", "a--b.slice:b:c", "a-.slice:b:c",
        ".slice:b:c", "a.slice:b:c/d", "a.slice:b:c d", "a.slice:b:c\n", "a.slice:b:c.slice"})
    EXPECT_FALSE(scope_name(bad, "id")) << bad;
  EXPECT_FALSE(scope_name("", "with+plus"));
  EXPECT_FALSE(scope_name("a.slice:b:" + std::string(250, 'c'), "id"));
}

TEST(LimitProperties, AreWhatTheGroupsFilesSay) {
  sys::CgroupLimits limits;
  limits.memory = 1 << 20;
  limits.memory_swap = 3 << 20;
  limits.cpu_quota = 12345;
  limits.cpu_period = 100000;
  limits.cpu_shares = 1024;
  limits.cpuset_cpus = "0,9";
  limits.pids = 7;
  limits.blkio_weight = 10;
  auto properties = by_name(limit_properties(limits));
  EXPECT_EQ(properties["MemoryMax"], sys::DbusValue(uint64_t{1 << 20}));
  EXPECT_EQ(properties["MemorySwapMax"], sys::DbusValue(uint64_t{2 << 20}));
  EXPECT_EQ(properties["CPUQuotaPeriodUSec"], sys::DbusValue(uint64_t{100000}));
  EXPECT_EQ(properties["CPUQuotaPerSecUSec"], sys::DbusValue(uint64_t{130000}));
  EXPECT_EQ(properties["CPUWeight"], sys::DbusValue(uint64_t{100}));
  EXPECT_EQ(properties["AllowedCPUs"], sys::DbusValue(std::vector<uint8_t>{1, 2}));
  EXPECT_EQ(properties["TasksMax"], sys::DbusValue(uint64_t{7}));
  EXPECT_EQ(properties["IOWeight"], sys::DbusValue(uint64_t{1}));
  EXPECT_FALSE(properties.contains("AllowedMemoryNodes"));
}

TEST(LimitProperties, KnowTheUnifiedFiles) {
  sys::CgroupLimits limits;
  limits.unified = {
      {"memory.high", "max"}, {"cpu.max", " max 50000 "}, {"memory.oom.group", "1"}, {"pids.max", "9"}};
  auto properties = by_name(limit_properties(limits));
  EXPECT_EQ(properties["MemoryHigh"], sys::DbusValue(UINT64_MAX));
  EXPECT_EQ(properties["CPUQuotaPerSecUSec"], sys::DbusValue(UINT64_MAX));
  EXPECT_EQ(properties["CPUQuotaPeriodUSec"], sys::DbusValue(uint64_t{50000}));
  EXPECT_EQ(properties["TasksMax"], sys::DbusValue(uint64_t{9}));
  EXPECT_EQ(properties.size(), 4u);
  for (auto [file, value] :
       {std::pair{"memory.max", "1x"}, {"cpu.max", "5 0"}, {"cpu.max", ""}, {"cpuset.cpus", "3-1"}}) {
    limits.unified = {{file, value}};
    EXPECT_FALSE(limit_properties(limits)) << file << " " << value;
  }
}

TEST(AnnotationProperties, AreReadAsGVariants) {
  auto properties =
      by_name(annotation_properties({{"org.systemd.property.TimeoutStopSec", "10"},
                                     {"org.systemd.property.CollectMode", "'inactive'"},
                                     {"org.systemd.property.DefaultDependencies", "true"},
                                     {"org.systemd.property.KillSignal", "int32 15"},
                                     {"org.systemd.property.After", "['a.service', \"b.service\"]"},
                                     {"something.else", "x"}}));
  EXPECT_EQ(properties["TimeoutStopUSec"], sys::DbusValue(uint64_t{10'000'000}));
  EXPECT_EQ(properties["CollectMode"], sys::DbusValue(std::string("inactive")));
  EXPECT_EQ(properties["DefaultDependencies"], sys::DbusValue(true));
  EXPECT_EQ(properties["KillSignal"], sys::DbusValue(int32_t{15}));
  EXPECT_EQ(properties["After"], sys::DbusValue(std::vector<std::string>{"a.service", "b.service"}));
  EXPECT_EQ(properties.size(), 5u);
}

TEST(AnnotationProperties, RefuseLimitsAndWhatIsNoValue) {
  for (auto [name, value] : {std::pair{"MemoryMax", "uint64 5"},
                             {"Slice", "'x.slice'"},
                             {"PIDs", "[1]"},
                             {"Delegate", "false"},
                             {"", "1"},
                             {"TimeoutStopUSec", "-1"},
                             {"TimeoutStopSec", "99999999999999999"},
                             {"CollectMode", "'a"},
                             {"CollectMode", "'a' b"},
                             {"After", "['a',]"},
                             {"After", "['a' 'b']"},
                             {"DefaultDependencies", "1"},
                             {"KillSignal", "4294967296"}})
    EXPECT_FALSE(annotation_properties({{std::string("org.systemd.property.") + name, value}}))
        << name << " " << value;
}

}  // namespace
}  // namespace berth::runtime
