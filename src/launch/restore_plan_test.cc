// The plan by which a keeper starts criu.
#include "launch/restore_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/sched.h>

#include "launch/plan_codec.h"

namespace berth::launch {
namespace {

LaunchRequest request() {
  LaunchRequest request;
  request.id = "c1";
  request.exec_directory = "/run/berth/c1";
  request.exit_path = "/var/c1/exit";
  request.stdin_mode = StdinMode::Open;
  request.init = InitMode::Berth;
  request.log = {.mode = LogConfig::Mode::File, .path = "/var/c1/log", .max_size = 10, .max_files = 2};
  request.cgroups = {{"/sys/fs/cgroup/cpu/berth/c1"}, {"/sys/fs/cgroup/unified/berth/c1"}};
  return request;
}

HostFacts host() {
  HostFacts host;
  using enum CgroupHierarchy::Version;
  host.cgroups = {{V1, "/sys/fs/cgroup/cpu", {"cpu"}}, {V2, "/sys/fs/cgroup/unified", {}}};
  return host;
}

template <class S>
const S* step_of(const LaunchPlan& plan) {
  for (const auto& step : plan.steps)
    if (const auto* found = std::get_if<S>(&step)) return found;
  return nullptr;
}

TEST(RestorePlan, CriuInTheContainersGroupsAndItsMounts) {
  auto plan = plan_restore(
      request(), {.criu = "/opt/criu", .environment = {"A=b"}, .mount_namespace = "/proc/7/fd/9"}, host());
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->setup.restores, 1);
  EXPECT_EQ(plan->setup.wait_for_release, 1);
  EXPECT_EQ(plan->setup.uses_init, 0);
  EXPECT_EQ(plan->setup.clone_flags, 0U);
  EXPECT_EQ(plan->setup.stdin_mode, static_cast<uint8_t>(StdinMode::Open));
  EXPECT_EQ(plan->setup.log_path.view(), "/var/c1/log");
  EXPECT_EQ(plan->setup.cgroup.view(), "/sys/fs/cgroup/unified/berth/c1");
  ASSERT_NE(step_of<step::EnterCgroup>(*plan), nullptr);
  EXPECT_EQ(step_of<step::EnterCgroup>(*plan)->directory.view(), "/sys/fs/cgroup/cpu/berth/c1");
  const auto* joined = step_of<step::JoinNamespace>(*plan);
  ASSERT_NE(joined, nullptr);
  EXPECT_EQ(joined->type, uint32_t{CLONE_NEWNS});
  EXPECT_EQ(joined->path.view(), "/proc/7/fd/9");
  EXPECT_EQ(step_of<step::FindProgram>(*plan)->name.view(), "/opt/criu");
  const auto* execute = step_of<step::Execute>(*plan);
  ASSERT_NE(execute, nullptr);
  std::vector<std::string> words;
  for (Text word : execute->arguments) words.emplace_back(word.view());
  EXPECT_THAT(words, testing::ElementsAre("criu", "swrk", "3"));
  // criu brings what confines the container, and needs its own rights.
  EXPECT_EQ(step_of<step::SetCredentials>(*plan), nullptr);
  EXPECT_EQ(step_of<step::ApplySeccomp>(*plan), nullptr);
  EXPECT_EQ(step_of<step::PivotRoot>(*plan), nullptr);
}

TEST(RestorePlan, SurvivesItsEncoding) {
  auto plan =
      plan_restore(request(), {.criu = "/opt/criu", .environment = {}, .mount_namespace = "/m"}, host());
  ASSERT_TRUE(plan);
  auto bytes = encode_plan(*plan);
  ASSERT_TRUE(bytes);
  auto reader = PlanReader::open(*bytes);
  ASSERT_TRUE(reader);
  EXPECT_EQ(reader->setup().restores, 1);
  EXPECT_EQ(reader->steps(), plan->steps.size());
}

}  // namespace
}  // namespace berth::launch
