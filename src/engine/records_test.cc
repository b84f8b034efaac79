// Tests of records on disk, of what a starting daemon makes of them, and of the pure parts around ports,
// health and links.
#include <gtest/gtest.h>

#include "base/json.h"
#include "engine/container_files.h"
#include "engine/container_ports.h"
#include "engine/container_table.h"
#include "engine/health.h"
#include "engine/links.h"
#include "engine/record_codec.h"
#include "engine/recovery_plan.h"
#include "engine/testing.h"

namespace berth::engine {
namespace {

using namespace std::chrono_literals;

TEST(RecordCodec, ARecordComesBack) {
  ContainerRecord record = testing::record("web");
  record.chain_id = Digest::from_hex(std::string(64, '9'));
  record.config.env = {"A=1"};
  record.host_config.resources.memory = 1 << 30;
  record.mounts.push_back({.type = spec::MountType::Volume,
                           .name = "v",
                           .source = "/s",
                           .destination = "/d",
                           .driver = "local",
                           .mode = "z",
                           .read_write = false,
                           .subpath = "x",
                           .no_copy = true,
                           .anonymous = true,
                           .tmpfs_options = {"a"}});
  record.endpoints["net"].ip_address = "10.0.0.2";
  record.ports["80/tcp"] = {{"0.0.0.0", "8080"}};
  record.state.status = Status::Paused;
  record.state.pid = 42;
  record.state.exit_code = 3;
  record.state.oom_killed = true;
  record.state.error = "why";
  record.state.started = from_unix_nanoseconds(5);
  record.state.health.status = HealthStatus::Healthy;
  record.restart_count = 2;
  record.manually_stopped = true;
  record.args = {"-x"};
  record.log_path = "/l";
  auto again = decode_container(record.id, record.name, encode_definition(record), encode_state(record));
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_EQ(encode_definition(*again), encode_definition(record));
  EXPECT_EQ(encode_state(*again), encode_state(record));
  EXPECT_EQ(again->mounts, record.mounts);
  EXPECT_EQ(again->state.health.status, HealthStatus::Healthy);
  EXPECT_EQ(again->chain_id, record.chain_id);
}

TEST(RecordCodec, DamageIsToldApart) {
  ContainerRecord record = testing::record("web");
  std::string good = encode_state(record);
  for (const std::string& state : {std::string(), std::string("{}"), std::string(R"({"status":"odd"})"),
                                   good.substr(0, good.size() / 2)}) {
    auto decoded = decode_container("id", "web", encode_definition(record), state);
    ASSERT_FALSE(decoded) << state;
    EXPECT_EQ(decoded.error().kind(), Kind::Corrupt);
  }
  EXPECT_EQ(decode_volume("[]").error().kind(), Kind::Corrupt);
}

class RecoveryPlan : public ::testing::Test {
 protected:
  template <class R>
  bool repaired_by() {
    auto repair = plan_repair(record, sighting);
    return repair && std::holds_alternative<R>(*repair);
  }
  ContainerRecord record = testing::record("web");
  Sighting sighting;
};

TEST_F(RecoveryPlan, LivingKeepersAreTakenOver) {
  sighting.keeper = launch::KeeperState{.phase = launch::KeeperState::Phase::Running, .pid = 7};
  for (Status status :
       {Status::Created, Status::Running, Status::Paused, Status::Restarting, Status::Exited}) {
    record.state.status = status;
    EXPECT_TRUE(repaired_by<repair::Adopt>()) << to_string(status);
  }
}

TEST_F(RecoveryPlan, EndsThatNobodySawAreRecorded) {
  sighting.exit = launch::ExitRecord{.exit_code = 3, .finished = from_unix_nanoseconds(100)};
  record.state.status = Status::Running;
  EXPECT_TRUE(repaired_by<repair::RecordExit>());
  record.state.status = Status::Created;
  EXPECT_TRUE(repaired_by<repair::RecordExit>());
  record.state.status = Status::Exited;
  record.state.finished = from_unix_nanoseconds(100);
  EXPECT_FALSE(plan_repair(record, sighting));
}

TEST_F(RecoveryPlan, LostOnesAreToldAndPoliciesHold) {
  record.state.status = Status::Running;
  EXPECT_TRUE(repaired_by<repair::RecordLoss>());
  record.state.status = Status::Restarting;
  EXPECT_TRUE(repaired_by<repair::Restart>());
  record.state.status = Status::Removing;
  EXPECT_TRUE(repaired_by<repair::FinishRemoval>());
  record.state.status = Status::Exited;
  EXPECT_FALSE(plan_repair(record, sighting));
  record.host_config.restart_policy.name = "always";
  EXPECT_TRUE(repaired_by<repair::Start>());
  record.host_config.restart_policy.name = "unless-stopped";
  record.manually_stopped = true;
  EXPECT_FALSE(plan_repair(record, sighting));
  record.state.status = Status::Created;
  record.host_config.restart_policy.name = "always";
  EXPECT_FALSE(plan_repair(record, sighting));
}

TEST_F(RecoveryPlan, OnlyIdsAreLeftovers) {
  std::string mine(64, 'a');
  std::string stray(64, 'b');
  EXPECT_EQ(leftovers({mine, stray, "notes.txt", "lost+found"}, {mine}), std::vector<std::string>{stray});
}

TEST(ContainerTable, FindsByIdNameAndPrefix) {
  ContainerTable table;
  auto first = std::make_shared<Container>(testing::record("one"));
  auto second = std::make_shared<Container>(testing::record("three3"));
  table.insert(first);
  table.insert(second);
  EXPECT_EQ(*table.find("one"), first);
  EXPECT_EQ(*table.find("/one"), first);
  EXPECT_EQ(*table.find(second->record.id), second);
  EXPECT_EQ(table.find("bbbb").error().kind(), Kind::InvalidArgument);
  EXPECT_EQ(table.find("zzz").error().message(), "No such container: zzz");
  auto taken = table.take_name("one", "other");
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().message(),
            "Conflict. The container name \"/one\" is already in use by container \"" + first->record.id +
                "\". You have to remove (or rename) that container to be able to reuse that name.");
  table.erase(*first);
  EXPECT_TRUE(table.take_name("one", "other"));
}

TEST(Ports, BindingsBecomeRequests) {
  auto requests =
      port_requests({{"80/tcp", {{"127.0.0.1", "8080"}, {"", "9000-9005"}, {"", ""}}}, {"53/udp", {}}});
  ASSERT_TRUE(requests) << requests.error().message();
  ASSERT_EQ(requests->size(), 3u);
  EXPECT_EQ(requests->at(0).host_port_first, 8080);
  EXPECT_TRUE(requests->at(0).host_ip);
  EXPECT_EQ(requests->at(1).host_port_last, 9005);
  EXPECT_EQ(requests->at(2).host_port_first, 0);
  EXPECT_FALSE(port_requests({{"80/tcp", {{"localhost", "1"}}}}));
  EXPECT_FALSE(port_requests({{"0/tcp", {{"", "1"}}}}));
}

TEST(Ports, PublishAllTakesTheExposedOnes) {
  spec::ContainerConfig config{.exposed_ports = {"80/tcp", "81/tcp"}};
  spec::HostConfig host{.port_bindings = {{"80/tcp", {{"", "8080"}}}}, .publish_all_ports = true};
  EXPECT_EQ(port_requests(config, host)->size(), 2u);
  host.publish_all_ports = false;
  EXPECT_EQ(port_requests(config, host)->size(), 1u);
  // An exposed port that is named without a binding gets any.
  host.port_bindings["81/tcp"] = {};
  ASSERT_EQ(port_requests(config, host)->size(), 2u);
  EXPECT_EQ(port_requests(config, host)->at(1).host_port_first, 0);
  host.port_bindings["82/tcp"] = {};
  EXPECT_EQ(port_requests(config, host)->size(), 2u);
  auto ports = published_ports(config, {{.container_port = 80, .host_port = 8080}});
  EXPECT_EQ(ports.at("80/tcp").front().host_port, "8080");
  EXPECT_TRUE(ports.at("81/tcp").empty());
}

TEST(HealthRules, CommandAndDefaults) {
  EXPECT_TRUE(health_plan({}).command.empty());
  EXPECT_TRUE(health_plan({.healthcheck = spec::Healthcheck{.test = {"NONE"}}}).command.empty());
  spec::ContainerConfig config{.healthcheck = spec::Healthcheck{.test = {"CMD-SHELL", "exit 0"}}};
  EXPECT_EQ(health_plan(config).command, (std::vector<std::string>{"/bin/sh", "-c", "exit 0"}));
  config.shell = {"/bin/bash", "-ec"};
  EXPECT_EQ(health_plan(config).command.front(), "/bin/bash");
  EXPECT_EQ(health_plan(config).interval, 30s);
  EXPECT_EQ(health_plan(config).retries, 3);
}

TEST(HealthRules, ThreeFailuresMakeUnhealthyAndOneSuccessHeals) {
  HealthPlan plan{.command = {"x"}};
  Health health{.status = HealthStatus::Starting};
  Timestamp start = from_unix_nanoseconds(0);
  HealthProbe bad{.start = start + 60s, .exit_code = 1};
  EXPECT_FALSE(apply_probe(plan, start, bad, health));
  EXPECT_FALSE(apply_probe(plan, start, bad, health));
  EXPECT_TRUE(apply_probe(plan, start, bad, health));
  EXPECT_EQ(health.status, HealthStatus::Unhealthy);
  EXPECT_EQ(health.failing_streak, 3);
  EXPECT_TRUE(apply_probe(plan, start, {.start = start + 90s, .exit_code = 0}, health));
  EXPECT_EQ(health.status, HealthStatus::Healthy);
  EXPECT_EQ(health.failing_streak, 0);
  for (int i = 0; i < 9; ++i) apply_probe(plan, start, bad, health);
  EXPECT_EQ(health.log.size(), 5u);
}

TEST(HealthRules, FailuresWhileStartingDoNotCount) {
  HealthPlan plan{.command = {"x"}, .start_period = 30s, .retries = 1};
  Health health{.status = HealthStatus::Starting};
  Timestamp start = from_unix_nanoseconds(0);
  EXPECT_FALSE(apply_probe(plan, start, {.start = start + 10s, .exit_code = 1}, health));
  EXPECT_EQ(health.failing_streak, 0);
  EXPECT_TRUE(apply_probe(plan, start, {.start = start + 31s, .exit_code = 1}, health));
  EXPECT_EQ(probe_delay(plan, HealthStatus::Starting, 10s), 5s);
  EXPECT_EQ(probe_delay(plan, HealthStatus::Starting, 31s), 30s);
  EXPECT_EQ(probe_delay(plan, HealthStatus::Healthy, 10s), 30s);
}

TEST(Links, VariablesDescribeTheOther) {
  ContainerRecord other = testing::record("db");
  other.config.exposed_ports = {"5432/tcp"};
  other.config.env = {"PATH=/bin", "USER=me"};
  auto variables = link_variables(other, "web", "my-db", "172.17.0.2");
  EXPECT_EQ(variables, (std::vector<std::string>{
                           "MY_DB_PORT=tcp://172.17.0.2:5432", "MY_DB_PORT_5432_TCP=tcp://172.17.0.2:5432",
                           "MY_DB_PORT_5432_TCP_ADDR=172.17.0.2", "MY_DB_PORT_5432_TCP_PORT=5432",
                           "MY_DB_PORT_5432_TCP_PROTO=tcp", "MY_DB_NAME=/web/my-db", "MY_DB_ENV_USER=me"}));
  EXPECT_EQ(parse_link("/db:/web/alias")->alias, "alias");
  EXPECT_EQ(parse_link("db")->alias, "db");
  EXPECT_FALSE(parse_link("a:b:c"));
  EXPECT_FALSE(parse_link(":b"));
}

TEST(ContainerFiles, HostsNameTheContainer) {
  ContainerRecord record = testing::record("web");
  record.config.hostname = "web1";
  record.host_config.extra_hosts = {"other:10.1.1.1"};
  network::EndpointRecord endpoint;
  endpoint.ipv4 = sys::IpPrefix{sys::IpAddress::v4(172, 17, 0, 2), 16};
  FileInputs inputs{.record = &record, .endpoints = {&endpoint}, .host_resolv_conf = "nameserver 10.0.0.1\n"};
  auto files = plan_files(inputs);
  ASSERT_TRUE(files) << files.error().message();
  EXPECT_EQ(files->hostname, "web1\n");
  EXPECT_NE(files->hosts.find("172.17.0.2\tweb1"), std::string::npos) << files->hosts;
  EXPECT_NE(files->hosts.find("10.1.1.1\tother"), std::string::npos);
  EXPECT_NE(files->resolv_conf.find("nameserver 10.0.0.1"), std::string::npos);
}

}  // namespace
}  // namespace berth::engine
