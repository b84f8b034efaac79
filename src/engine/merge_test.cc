// Tests of what a container inherits from its image and from the engine's defaults.
#include "engine/merge.h"

#include <gtest/gtest.h>

namespace berth::engine {
namespace {

const spec::ExecutionConfig image{.user = "app",
                                  .exposed_ports = {"80/tcp"},
                                  .env = {"PATH=/bin", "A=image"},
                                  .entrypoint = {"/entry"},
                                  .cmd = {"serve"},
                                  .volumes = {"/data"},
                                  .working_dir = "/srv",
                                  .labels = {{"a", "image"}, {"b", "image"}},
                                  .stop_signal = "SIGQUIT"};

TEST(MergeImage, FillsInWhatIsMissing) {
  spec::ContainerConfig config{.env = {"A=own"}, .labels = {{"a", "own"}}};
  ASSERT_TRUE(merge_image(config, image));
  EXPECT_EQ(config.user, "app");
  EXPECT_EQ(config.env, (spec::StringList{"A=own", "PATH=/bin"}));
  EXPECT_EQ(config.labels.at("a"), "own");
  EXPECT_EQ(config.labels.at("b"), "image");
  EXPECT_EQ(command_line(config), (std::vector<std::string>{"/entry", "serve"}));
  EXPECT_EQ(config.working_dir, "/srv");
  EXPECT_EQ(config.stop_signal, "SIGQUIT");
  EXPECT_TRUE(config.volumes.contains("/data"));
}

TEST(MergeImage, AnEntrypointOfOnesOwnDropsTheImagesCommand) {
  spec::ContainerConfig config{.entrypoint = spec::StringList{"/own"}};
  ASSERT_TRUE(merge_image(config, image));
  EXPECT_EQ(command_line(config), (std::vector<std::string>{"/own"}));
}

TEST(MergeImage, ACommandKeepsTheImagesEntrypoint) {
  spec::ContainerConfig config{.cmd = spec::StringList{"x"}};
  ASSERT_TRUE(merge_image(config, image));
  EXPECT_EQ(command_line(config), (std::vector<std::string>{"/entry", "x"}));
}

TEST(MergeImage, AnEmptyEntrypointClears) {
  spec::ContainerConfig config{.cmd = spec::StringList{"sh"}, .entrypoint = spec::StringList{""}};
  ASSERT_TRUE(merge_image(config, image));
  EXPECT_FALSE(config.entrypoint);
  EXPECT_EQ(command_line(config), (std::vector<std::string>{"sh"}));
}

TEST(MergeImage, SomethingMustRun) {
  spec::ContainerConfig config;
  auto merged = merge_image(config, {});
  ASSERT_FALSE(merged);
  EXPECT_EQ(merged.error().message(), "no command specified");
}

TEST(MergeImage, HealthchecksMergeByField) {
  spec::ExecutionConfig checked = image;
  checked.healthcheck = spec::Healthcheck{.test = {"CMD", "x"}, .interval = 5, .retries = 4};
  spec::ContainerConfig config{.healthcheck = spec::Healthcheck{.interval = 7}};
  ASSERT_TRUE(merge_image(config, checked));
  EXPECT_EQ(config.healthcheck->interval, 7);
  EXPECT_EQ(config.healthcheck->test, (spec::StringList{"CMD", "x"}));
  EXPECT_EQ(config.healthcheck->retries, 4);
}

TEST(FillDefaults, ShowsWhatHolds) {
  spec::HostConfig host;
  host.resources.memory = 100 << 20;
  host.network_mode = "default";
  fill_defaults(host);
  EXPECT_EQ(host.resources.memory_swap, 200 << 20);
  EXPECT_EQ(host.shm_size, 64 << 20);
  EXPECT_EQ(host.network_mode, "bridge");
  EXPECT_EQ(host.ipc_mode, "private");
  EXPECT_EQ(host.log_config.type, "json-file");
  EXPECT_EQ(host.restart_policy.name, "no");
}

}  // namespace
}  // namespace berth::engine
