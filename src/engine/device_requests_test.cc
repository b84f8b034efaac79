// Which driver serves a request for devices, and what that does to a specification.
#include "engine/device_requests.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "sys/file.h"

namespace berth::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class DeviceRequests : public testing::Test {
 protected:
  DeviceRequests() {
    std::string pattern = (std::filesystem::temp_directory_path() / "cdi.XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
  }
  ~DeviceRequests() override { std::filesystem::remove_all(folder_); }

  void write(const std::string& name, const std::string& kind, const std::string& device) {
    ASSERT_TRUE(sys::write_file_atomic(
        folder_ + "/" + name, R"({"cdiVersion": "0.5.0", "kind": ")" + kind +
                                  R"(", "containerEdits": {"env": ["SPEC=)" + name +
                                  R"("]}, "devices": [{"name": ")" + device +
                                  R"(", "containerEdits": {"env": ["DEVICE=)" + device + R"("]}}]})"));
  }
  DeviceDrivers drivers(std::string hook = {}) {
    return {.cdi = true, .catalog = CdiCatalog::read({folder_}), .nvidia_hook = std::move(hook)};
  }
  static std::string complaint(const Result<spec::CdiEdits>& edits) {
    return edits ? std::string("served") : edits.error().message();
  }

  std::string folder_;
};

TEST_F(DeviceRequests, EachSpecificationsOwnEditsComeOnce) {
  write("a.json", "v.w/x", "one");
  auto edits =
      serve_device_requests({{.driver = "cdi", .device_ids = {"v.w/x=one", "v.w/x=one"}}}, drivers());
  ASSERT_TRUE(edits) << edits.error().message();
  EXPECT_THAT(edits->env, ElementsAre("SPEC=a.json", "DEVICE=one", "DEVICE=one"));
}

TEST_F(DeviceRequests, RefusesWhatDockerRefuses) {
  write("a.json", "v.w/x", "one");
  auto ask = [&](spec::DeviceRequest request) {
    return complaint(serve_device_requests({std::move(request)}, drivers()));
  };
  EXPECT_THAT(ask({.driver = "cdi", .device_ids = {"v.w/x=two", "v.w/x=one", "a/b=c"}}),
              HasSubstr("CDI device injection failed: unresolvable CDI devices v.w/x=two, a/b=c"));
  EXPECT_EQ(ask({.driver = "cdi", .count = 1}), "unexpected count in CDI device request");
  EXPECT_EQ(ask({.driver = "cdi", .options = {{"a", "b"}}}), "unexpected options in CDI device request");
  EXPECT_EQ(ask({.count = 1, .device_ids = {"0"}, .capabilities = {{"gpu"}}}),
            "cannot set both Count and DeviceIDs on device request");
  EXPECT_THAT(ask({.count = -1, .capabilities = {{"gpu", "x"}, {"tpu"}}}),
              HasSubstr("could not select device driver \"\" with capabilities: [[gpu x] [tpu]]"));
  EXPECT_THAT(
      complaint(serve_device_requests({{.driver = "cdi", .device_ids = {"v.w/x=one"}}}, DeviceDrivers{})),
      HasSubstr("CDI is switched off"));
}

TEST_F(DeviceRequests, GpusComeByTheHookWhereThereIsOne) {
  auto edits =
      serve_device_requests({{.count = 2, .capabilities = {{"gpu", "utility"}}}}, drivers("/bin/hook"));
  ASSERT_TRUE(edits) << edits.error().message();
  EXPECT_THAT(edits->env, ElementsAre("NVIDIA_VISIBLE_DEVICES=0,1", "NVIDIA_DRIVER_CAPABILITIES=utility"));
  ASSERT_EQ(edits->hooks.prestart.size(), 1u);
  EXPECT_EQ(edits->hooks.prestart[0].path, "/bin/hook");
  EXPECT_THAT(edits->hooks.prestart[0].args, ElementsAre("nvidia-container-runtime-hook", "prestart"));
  auto none = serve_device_requests({{.capabilities = {{"gpu"}}}}, drivers("/bin/hook"));
  EXPECT_THAT(none->env, ElementsAre("NVIDIA_VISIBLE_DEVICES=void"));
}

TEST_F(DeviceRequests, GpusComeByCdiElse) {
  write("amd.json", "amd.com/gpu", "all");
  auto amd = serve_device_requests({{.count = -1, .capabilities = {{"gpu"}}}}, drivers());
  ASSERT_TRUE(amd) << amd.error().message();
  EXPECT_THAT(amd->env, ElementsAre("SPEC=amd.json", "DEVICE=all"));
  write("nvidia.json", "nvidia.com/gpu", "all");
  auto nvidia = serve_device_requests({{.count = -1, .capabilities = {{"gpu"}}}}, drivers());
  EXPECT_THAT(nvidia->env, ElementsAre("SPEC=nvidia.json", "DEVICE=all"));
}

TEST_F(DeviceRequests, TheNvidiaRuntimeGoesByTheEnvironment) {
  EXPECT_THAT(complaint(serve_nvidia_runtime({"NVIDIA_VISIBLE_DEVICES=all"}, drivers())),
              HasSubstr("install NVIDIA's container toolkit"));
  auto hooked = serve_nvidia_runtime({}, drivers("/bin/hook"));
  ASSERT_TRUE(hooked) << hooked.error().message();
  EXPECT_EQ(hooked->hooks.prestart.size(), 1u);
  EXPECT_TRUE(hooked->env.empty()) << "the hook reads what the container has";
  write("nvidia.json", "nvidia.com/gpu", "all");
  auto all = serve_nvidia_runtime({"A=b", "NVIDIA_VISIBLE_DEVICES=all"}, drivers());
  ASSERT_TRUE(all) << all.error().message();
  EXPECT_THAT(all->env, ElementsAre("SPEC=nvidia.json", "DEVICE=all"));
  for (const char* none : {"NVIDIA_VISIBLE_DEVICES=void", "NVIDIA_VISIBLE_DEVICES=", "A=b"})
    EXPECT_TRUE(serve_nvidia_runtime({none}, drivers())->env.empty()) << none;
  EXPECT_THAT(complaint(serve_nvidia_runtime({"NVIDIA_VISIBLE_DEVICES=all,7"}, drivers())),
              HasSubstr("nvidia.com/gpu=7"));
}

TEST_F(DeviceRequests, EditsChangeTheSpecification) {
  spec::CdiEdits edits{
      .env = {"B=2", "A=changed"},
      .device_nodes = {{.path = "/dev/null", .permissions = "r"}},
      .mounts = {{"/deep/er/x", "", "/src", {"ro", "rbind"}}, {"/deep", "tmpfs", "none", {}}},
      .additional_gids = {0, 5}};
  spec::RuntimeSpec spec;
  spec.process.env = {"A=1"};
  spec.process.user.name = "7:8";
  spec.devices = {{.path = "/dev/null", .type = 'b'}};
  spec.mounts = {{"/deep/er/x", "bind", "/old", {}}};
  ASSERT_TRUE(apply_device_edits(edits, false, spec));
  EXPECT_THAT(spec.process.env, ElementsAre("A=changed", "B=2"));
  ASSERT_EQ(spec.devices.size(), 1u);
  EXPECT_EQ(spec.devices[0].type, 'c');
  EXPECT_EQ(spec.devices[0].major, 1);
  EXPECT_EQ(spec.devices[0].uid, 7u);
  EXPECT_EQ(spec.devices[0].gid, 8u);
  ASSERT_EQ(spec.resources.devices.size(), 1u);
  EXPECT_EQ(spec.resources.devices[0].access, "r");
  ASSERT_EQ(spec.mounts.size(), 2u);
  EXPECT_EQ(spec.mounts[0].destination, "/deep");
  EXPECT_EQ(spec.mounts[1].source, "/src");
  EXPECT_EQ(spec.mounts[1].type, "bind");
  EXPECT_THAT(spec.process.user.additional_groups, ElementsAre("5"));
  spec::RuntimeSpec privileged;
  ASSERT_TRUE(apply_device_edits(edits, true, privileged));
  EXPECT_TRUE(privileged.resources.devices.empty());
}

}  // namespace
}  // namespace berth::engine
