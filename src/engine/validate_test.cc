// Tests of docker's checks, and of the small notations that configurations use.
#include "engine/validate.h"

#include <gtest/gtest.h>

#include "engine/attach.h"
#include "engine/paths.h"
#include "engine/signals.h"
#include "engine/ulimits.h"

namespace berth::engine {
namespace {

std::string config_error(spec::ContainerConfig config) {
  auto checked = validate_config(config);
  return checked ? "" : checked.error().message();
}

std::string host_error(const spec::ContainerConfig& config, const spec::HostConfig& host) {
  auto checked = validate_host_config(config, host);
  return checked ? "" : checked.error().message();
}

TEST(ValidateConfig, ReadsAsDocker) {
  EXPECT_EQ(config_error({.working_dir = "rel"}),
            "the working directory 'rel' is invalid, it needs to be an absolute path");
  EXPECT_EQ(config_error({.stop_signal = "SIGNOPE"}), "invalid signal: SIGNOPE");
  EXPECT_EQ(config_error({.env = {"=x"}}), "invalid environment variable: =x");
  EXPECT_EQ(config_error({.healthcheck = spec::Healthcheck{.interval = 10}}),
            "Interval in Healthcheck cannot be less than 1ms");
  EXPECT_EQ(config_error({.healthcheck = spec::Healthcheck{.retries = -1}}),
            "Retries in Healthcheck cannot be negative");
  spec::ContainerConfig config{.working_dir = "/a/../b/"};
  ASSERT_TRUE(validate_config(config));
  EXPECT_EQ(config.working_dir, "/b");
}

TEST(ValidateHostConfig, NetworkOfAnotherContainerLeavesNothingToSay) {
  spec::HostConfig host{.network_mode = "container:x"};
  EXPECT_EQ(host_error({}, host), "");
  EXPECT_EQ(host_error({.hostname = "h"}, host), "conflicting options: hostname and the network mode");
  EXPECT_EQ(host_error({.exposed_ports = {"80/tcp"}}, host),
            "conflicting options: port exposing and the container type network mode");
  host.publish_all_ports = true;
  EXPECT_EQ(host_error({}, host), "conflicting options: port publishing and the container type network mode");
  host = {.network_mode = "container:"};
  EXPECT_EQ(host_error({}, host), "invalid network mode: invalid container format container:<name|id>");
}

TEST(ValidateHostConfig, PolicyModesAndPorts) {
  spec::HostConfig host;
  host.restart_policy = {.name = "sometimes"};
  EXPECT_EQ(host_error({}, host),
            "invalid restart policy: unknown policy 'sometimes'; use one of 'no', 'always', 'on-failure', or "
            "'unless-stopped'");
  host.restart_policy = {.name = "always", .maximum_retry_count = -1};
  EXPECT_EQ(host_error({}, host),
            "invalid restart policy: maximum retry count can only be used with 'on-failure' and cannot be "
            "negative");
  host.restart_policy = {.name = "always"};
  host.auto_remove = true;
  EXPECT_EQ(host_error({}, host), "can't create 'AutoRemove' container with restart policy");
  EXPECT_EQ(host_error({}, {.ipc_mode = "nope"}), "invalid IPC mode: nope");
  EXPECT_EQ(host_error({}, {.pid_mode = "nope"}), "invalid PID mode: nope");
  EXPECT_EQ(host_error({}, {.cap_add = {"all", "net_admin"}, .cap_drop = {"nope"}}),
            "invalid CapDrop: unknown capability: \"CAP_NOPE\"");
  EXPECT_EQ(host_error({}, {.oom_score_adj = 1001}),
            "Invalid value 1001, range for oom score adj is [-1000, 1000].");
  EXPECT_EQ(host_error({}, {.extra_hosts = {"x"}}), "bad format for add-host: \"x\"");
  EXPECT_EQ(host_error({}, {.extra_hosts = {"x:y"}}), "invalid IP address in add-host: \"y\"");
  EXPECT_EQ(host_error({}, {.extra_hosts = {"a:host-gateway", "b:::1", "c=10.0.0.1", "d:[fe80::1]"}}), "");
  EXPECT_EQ(host_error({}, {.port_bindings = {{"80/tcp", {{"", "90-80"}}}}}),
            "invalid port specification: \"90-80\"");
  EXPECT_EQ(host_error({}, {.runtime = "kata"}), "unknown or invalid runtime name: kata");
  EXPECT_EQ(host_error({}, {.security_opt = {"nope=1"}}), "invalid --security-opt 2: \"nope=1\"");
  EXPECT_EQ(host_error({.hostname = "h"}, {.uts_mode = "host"}),
            "conflicting options: hostname and the UTS mode");
}

TEST(ValidateLog, LimitsAndDrivers) {
  auto limits = log_limits({.config = {{"max-size", "1m"}, {"max-file", "5"}}});
  ASSERT_TRUE(limits);
  EXPECT_EQ(limits->max_size, 1 << 20);
  EXPECT_EQ(limits->max_files, 5u);
  EXPECT_EQ(log_limits({})->max_size, 10 << 20);
  EXPECT_EQ(log_limits({.config = {{"max-size", "-1"}}})->max_size, -1);
  EXPECT_FALSE(log_limits({.config = {{"max-size", "big"}}}));
  EXPECT_FALSE(log_limits({.config = {{"max-file", "0"}}}));
  EXPECT_TRUE(validate_log_config({.type = "syslog"}));
  EXPECT_FALSE(validate_log_config({.type = "splunk"}));
  EXPECT_FALSE(validate_log_config({.type = "syslog", .config = {{"syslog-address", "http://x"}}}));
  EXPECT_FALSE(validate_log_config({.type = "syslog", .config = {{"max-size", "1m"}}}));
  EXPECT_FALSE(validate_log_config({.type = "none", .config = {{"tag", "x"}}}));
  EXPECT_FALSE(validate_log_config({.type = "json-file", .config = {{"tag", "{{.Nope}}"}}}));
  EXPECT_FALSE(validate_log_config({.type = "gelf"}));
  EXPECT_FALSE(validate_log_config({.type = "json-file", .config = {{"nope", "1"}}}));
  EXPECT_TRUE(validate_log_config({.type = "local", .config = {{"max-size", "5m"}, {"compress", "true"}}}));
}

TEST(Sizes, TakeDockersUnits) {
  EXPECT_EQ(*parse_size("10"), 10);
  EXPECT_EQ(*parse_size("1.5k"), 1536);
  EXPECT_EQ(*parse_size("2MB"), 2 << 20);
  EXPECT_EQ(*parse_size("1 GiB"), 1 << 30);
  for (const char* text : {"", "x", "-1", "1x", "1e400", "nan", "inf", "9999999p"}) {
    EXPECT_FALSE(parse_size(text)) << text;
  }
}

TEST(Names, FollowDockersGrammar) {
  EXPECT_TRUE(validate_name("a_b.c-1"));
  for (const char* name : {"a", "-x", "a/b", "a b", "", "ä"}) EXPECT_FALSE(validate_name(name)) << name;
  EXPECT_EQ(validate_name("a b").error().message(),
            "Invalid container name (a b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed");
}

TEST(Signals, ByNameAndNumber) {
  EXPECT_EQ(*parse_signal("KILL"), 9);
  EXPECT_EQ(*parse_signal("SIGTERM"), 15);
  EXPECT_EQ(*parse_signal("sighup"), 1);
  EXPECT_EQ(*parse_signal("9"), 9);
  EXPECT_EQ(*parse_signal("RTMIN+3"), 37);
  EXPECT_EQ(*parse_signal("SIGRTMAX-1"), 63);
  for (const char* text : {"", "0", "65", "-1", "SIG", "RTMIN+99", "9x"})
    EXPECT_FALSE(parse_signal(text)) << text;
}

TEST(Paths, AreCleanedAsGoDoes) {
  EXPECT_EQ(clean_path("/a//b/../c/."), "/a/c");
  EXPECT_EQ(clean_path("/../.."), "/");
  EXPECT_EQ(clean_path("a/../../b"), "../b");
  EXPECT_EQ(clean_path(""), ".");
  EXPECT_TRUE(is_local_path("a/../b"));
  EXPECT_FALSE(is_local_path("a/../../b"));
  EXPECT_FALSE(is_local_path("/a"));
  EXPECT_EQ(path_depth("/"), 0u);
  EXPECT_EQ(path_depth("/a/b"), 2u);
}

TEST(DetachKeys, ReadDockersNotation) {
  EXPECT_EQ(*parse_detach_keys("ctrl-p,ctrl-q"), "\x10\x11");
  EXPECT_EQ(*parse_detach_keys("a,ctrl-[,ctrl-_"), std::string("a\x1b\x1f"));
  EXPECT_EQ(*parse_detach_keys("ctrl-@"), std::string(1, '\0'));
  for (const char* text : {"", "ctrl-", "ctrl-1", "ab", "a,", "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q"}) {
    auto keys = parse_detach_keys(text);
    ASSERT_FALSE(keys) << text;
    EXPECT_EQ(keys.error().message(), "Invalid detach keys (" + std::string(text) + ") provided");
  }
}

TEST(Ulimits, OfTheCommandLine) {
  auto limit = parse_ulimit("nofile=1024:2048");
  ASSERT_TRUE(limit);
  EXPECT_EQ(limit->soft, 1024);
  EXPECT_EQ(limit->hard, 2048);
  EXPECT_EQ(parse_ulimit("core=-1")->hard, -1);
  for (const char* text : {"", "nofile", "=1", "nofile=x", "nofile=1:x", "nofile=-2"}) {
    EXPECT_FALSE(parse_ulimit(text)) << text;
  }
}

}  // namespace
}  // namespace berth::engine
