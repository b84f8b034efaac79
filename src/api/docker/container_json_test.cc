// Tests of container objects: the words of Status, zero times, what is null and what is an empty list.
#include "api/docker/container_json.h"

#include <gtest/gtest.h>

#include "base/json.h"

namespace berth::api {
namespace {

using namespace std::chrono_literals;

engine::ContainerRecord record() {
  engine::ContainerRecord record{.image_id = Digest::parse("sha256:" + std::string(64, 'b')).value()};
  record.id = std::string(64, 'a');
  record.name = "web";
  record.path = "sleep";
  record.args = {"1"};
  record.config.image = "busybox";
  return record;
}

TEST(StatusWords, FollowTheState) {
  auto container = record();
  Timestamp now = from_unix_nanoseconds(1'000'000'000'000'000'000);
  EXPECT_EQ(status_words(container, now), "Created");
  container.state.status = engine::Status::Running;
  container.state.started = now - 3min;
  EXPECT_EQ(status_words(container, now), "Up 3 minutes");
  container.state.health.status = engine::HealthStatus::Starting;
  EXPECT_EQ(status_words(container, now), "Up 3 minutes (health: starting)");
  container.state.status = engine::Status::Paused;
  EXPECT_EQ(status_words(container, now), "Up 3 minutes (Paused)");
  container.state.status = engine::Status::Exited;
  container.state.exit_code = 137;
  container.state.finished = now - 90min;
  EXPECT_EQ(status_words(container, now), "Exited (137) 2 hours ago");
}

TEST(HumanDuration, IsGos) {
  EXPECT_EQ(human_duration(500ms), "Less than a second");
  EXPECT_EQ(human_duration(1s), "1 second");
  EXPECT_EQ(human_duration(59s), "59 seconds");
  EXPECT_EQ(human_duration(60s), "About a minute");
  EXPECT_EQ(human_duration(119s), "About a minute");
  EXPECT_EQ(human_duration(46min), "46 minutes");
  EXPECT_EQ(human_duration(60min), "About an hour");
  EXPECT_EQ(human_duration(47h), "47 hours");
  EXPECT_EQ(human_duration(48h), "2 days");
  EXPECT_EQ(human_duration(24h * 14), "2 weeks");
  EXPECT_EQ(human_duration(24h * 60), "2 months");
  EXPECT_EQ(human_duration(24h * 730), "2 years");
  EXPECT_EQ(human_duration(-5s), "Less than a second");
}

TEST(ContainerInspect, HasDockersEmptyValues) {
  Json object = container_inspect_json(record(), std::nullopt, ApiVersion{1, 51});
  EXPECT_EQ(object["Name"], "/web");
  EXPECT_EQ(object["State"]["Status"], "created");
  EXPECT_EQ(object["State"]["StartedAt"], "0001-01-01T00:00:00Z");
  EXPECT_FALSE(object["State"].contains("Health"));
  EXPECT_TRUE(object["ExecIDs"].is_null());
  EXPECT_TRUE(object["Mounts"].is_array());
  EXPECT_FALSE(object.contains("SizeRw"));
  EXPECT_EQ(object["NetworkSettings"]["IPAddress"], "");
  EXPECT_TRUE(object["NetworkSettings"]["Ports"].is_object());
}

TEST(ContainerInspect, OldVersionsHaveTheShortIdAsAlias) {
  auto container = record();
  container.endpoints["mine"] = {};
  container.endpoints["bridge"] = {};
  Json old = container_inspect_json(container, std::nullopt, ApiVersion{1, 44});
  EXPECT_EQ(old["NetworkSettings"]["Networks"]["mine"]["Aliases"], Json::array({"aaaaaaaaaaaa"}));
  EXPECT_TRUE(old["NetworkSettings"]["Networks"]["bridge"]["Aliases"].is_null());
  Json current = container_inspect_json(container, std::nullopt, ApiVersion{1, 45});
  EXPECT_TRUE(current["NetworkSettings"]["Networks"]["mine"]["Aliases"].is_null());
}

TEST(ContainerSummary, ListsPorts) {
  auto container = record();
  container.ports["80/tcp"] = {{"0.0.0.0", "8080"}, {"::", "8080"}};
  container.ports["53/udp"] = {};
  Json object = container_summary_json(container, std::nullopt, Timestamp{});
  EXPECT_EQ(object["Names"], Json::array({"/web"}));
  EXPECT_EQ(object["Command"], "sleep 1");
  container.args = {"a b", "c"};
  EXPECT_EQ(container_summary_json(container, std::nullopt, Timestamp{})["Command"], "sleep 'a b' c");
  ASSERT_EQ(object["Ports"].size(), 3u);
  EXPECT_EQ(object["Ports"][0], (Json{{"PrivatePort", 53}, {"Type", "udp"}}));
  EXPECT_EQ(object["Ports"][1],
            (Json{{"IP", "0.0.0.0"}, {"PrivatePort", 80}, {"PublicPort", 8080}, {"Type", "tcp"}}));
}

TEST(Wait, HasAnErrorOnlyWhenThereIsOne) {
  EXPECT_EQ(wait_json({.status_code = 3, .error = {}}), (Json{{"StatusCode", 3}}));
  EXPECT_EQ(wait_json({.status_code = 1, .error = "lost"})["Error"]["Message"], "lost");
}

TEST(Changes, NoneIsNull) {
  EXPECT_TRUE(changes_json({}).is_null());
  EXPECT_EQ(changes_json({{"/a", storage::ChangeKind::Added}}),
            Json::array({Json{{"Path", "/a"}, {"Kind", 1}}}));
}

}  // namespace
}  // namespace berth::api
