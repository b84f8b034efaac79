// Tests of the Docker API's container configuration: what is read, what is refused, and that it comes back.
#include "spec/container.h"

#include <gtest/gtest.h>

#include "base/json.h"

namespace berth::spec {
namespace {

TEST(CreateRequest, ReadsWhatTheDockerCliSends) {
  auto request = parse_create_request(R"({
    "Hostname": "h", "User": "1000:1000", "Tty": true, "OpenStdin": true, "Env": ["A=1", "B"],
    "Cmd": ["sh", "-c", "true"], "Entrypoint": null, "Image": "busybox", "Labels": {"x": "y"},
    "ExposedPorts": {"80/tcp": {}, "53/UDP": {}, "9000-9002": {}}, "Volumes": {"/data": {}},
    "Healthcheck": {"Test": ["CMD", "true"], "Interval": 1000000000, "Retries": 2},
    "HostConfig": {"Binds": ["/a:/b:ro"], "Memory": 67108864, "NanoCpus": 500000000, "PidsLimit": 10,
      "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}], "81/tcp": null},
      "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3}, "AutoRemove": false,
      "Ulimits": [{"Name": "nofile", "Soft": 10, "Hard": 20}], "ConsoleSize": [24, 80], "Init": true,
      "Mounts": [{"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 4096, "Mode": 448}}],
      "MaskedPaths": null, "ReadonlyPaths": []},
    "NetworkingConfig": {"EndpointsConfig": {"net": {"Aliases": ["db"], "IPAMConfig": {"IPv4Address": "10.0.0.2"}}}}
  })");
  ASSERT_TRUE(request) << request.error().message();
  EXPECT_EQ(request->config.cmd, (StringList{"sh", "-c", "true"}));
  EXPECT_FALSE(request->config.entrypoint);
  EXPECT_EQ(request->config.exposed_ports,
            (std::set<std::string>{"80/tcp", "53/udp", "9000/tcp", "9001/tcp", "9002/tcp"}));
  EXPECT_EQ(request->config.healthcheck->retries, 2);
  const HostConfig& host = request->host_config;
  EXPECT_EQ(host.resources.memory, 67108864);
  EXPECT_EQ(host.resources.pids_limit, 10);
  EXPECT_EQ(host.port_bindings.at("80/tcp").front().host_port, "8080");
  EXPECT_TRUE(host.port_bindings.at("81/tcp").empty());
  EXPECT_EQ(host.console_size, (std::array<uint16_t, 2>{24, 80}));
  EXPECT_EQ(host.init, true);
  EXPECT_EQ(host.mounts.front().tmpfs->mode, 0700u);
  EXPECT_FALSE(host.masked_paths);
  EXPECT_TRUE(host.readonly_paths && host.readonly_paths->empty());
  EXPECT_EQ(request->endpoints.at("net").ipam->ipv4_address, "10.0.0.2");
}

TEST(CreateRequest, TakesAStringForACommand) {
  auto request = parse_create_request(R"({"Cmd": "true", "Entrypoint": ""})");
  ASSERT_TRUE(request);
  EXPECT_EQ(request->config.cmd, StringList{"true"});
  EXPECT_EQ(request->config.entrypoint, StringList{""});
}

TEST(CreateRequest, RefusesWhatIsNoConfiguration) {
  for (const char* body : {"", "  ", "null"}) {
    auto request = parse_create_request(body);
    ASSERT_FALSE(request) << body;
    EXPECT_EQ(request.error().message(), "config cannot be empty in order to create a container");
  }
  for (const char* body :
       {"[]", "{", "{} {}", R"({"Env": "A=1"})", R"({"Tty": "yes"})", R"({"Labels": {"a": 1}})",
        R"({"HostConfig": []})", R"({"HostConfig": {"Memory": "64m"}})",
        R"({"HostConfig": {"Memory": 1e30}})", R"({"HostConfig": {"BlkioWeight": 70000}})",
        R"({"HostConfig": {"PortBindings": {"x": []}}})",
        R"({"HostConfig": {"PortBindings": {"70000/tcp": []}}})",
        R"({"HostConfig": {"ConsoleSize": [-1, 2]}})",
        R"({"HostConfig": {"Mounts": [{"Type": "npipe", "Target": "/x"}]}})",
        R"({"ExposedPorts": {"80/abc": {}}})", R"({"Cmd": {"a": 1}})",
        R"({"NetworkingConfig": {"EndpointsConfig": []}})"}) {
    auto request = parse_create_request(body);
    ASSERT_FALSE(request) << body;
    EXPECT_EQ(request.error().kind(), Kind::InvalidArgument) << body;
  }
}

TEST(HostConfig, ComesBackAsItWasWritten) {
  HostConfig config;
  config.binds = {"/a:/b"};
  config.log_config = {.type = "json-file", .config = {{"max-size", "1m"}}};
  config.network_mode = "net";
  config.port_bindings = {{"80/tcp", {{"", "80"}}}};
  config.restart_policy = {.name = "always"};
  config.mounts.push_back({.type = MountType::Bind, .source = "/s", .target = "/t", .read_only = true});
  config.mounts.back().bind = MountRequest::Bind{.propagation = "rslave", .create_mountpoint = true};
  config.mounts.push_back({.type = MountType::Volume, .source = "v", .target = "/v"});
  config.mounts.back().volume = MountRequest::Volume{.no_copy = true, .labels = {{"a", "b"}}, .subpath = "x"};
  config.tmpfs = {{"/tmp", "size=1m"}};
  config.resources.memory_swappiness = 10;
  config.resources.devices = {{"/dev/null", "/dev/x", "rw"}};
  config.resources.device_requests = {{.driver = "nvidia", .count = -1, .capabilities = {{"gpu"}}}};
  config.resources.blkio_device_read_bps = {{"/dev/sda", 100}};
  config.masked_paths = StringList{};
  Json once = to_json_value(config);
  auto again = parse_host_config(once);
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_EQ(to_json_value(*again), once);
  EXPECT_EQ(again->mounts.at(0).bind->propagation, "rslave");
  EXPECT_EQ(again->mounts.at(1).volume->subpath, "x");
}

TEST(HostConfig, GivesNullAndEmptyListsAsDockerDoes) {
  Json object = to_json_value(HostConfig{});
  EXPECT_TRUE(object["Binds"].is_null());
  EXPECT_TRUE(object["CapAdd"].is_null());
  EXPECT_TRUE(object["Dns"].is_array());
  EXPECT_TRUE(object["PortBindings"].is_object());
  EXPECT_TRUE(object["PidsLimit"].is_null());
  EXPECT_FALSE(object.contains("Tmpfs"));
  EXPECT_FALSE(object.contains("Mounts"));
}

TEST(ContainerConfig, ComesBackAsItWasWritten) {
  ContainerConfig config;
  config.hostname = "h";
  config.env = {"A=1"};
  config.cmd = StringList{"x"};
  config.exposed_ports = {"80/tcp"};
  config.healthcheck = Healthcheck{.test = {"NONE"}, .retries = 1};
  config.stop_timeout = 5;
  config.volumes = {"/v"};
  Json once = to_json_value(config);
  auto again = parse_container_config(once);
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_EQ(to_json_value(*again), once);
  EXPECT_TRUE(once["Entrypoint"].is_null());
}

TEST(ExecConfig, NeedsACommand) {
  for (const char* body : {"", "{}", R"({"Cmd": []})"}) {
    auto config = parse_exec_config(body);
    ASSERT_FALSE(config) << body;
    EXPECT_EQ(config.error().message(), "No exec command specified");
  }
  auto config = parse_exec_config(R"({"Cmd": ["id"], "Tty": true, "ConsoleSize": [1, 2], "User": "u"})");
  ASSERT_TRUE(config);
  EXPECT_EQ((*config->console_size)[1], 2);
}

TEST(UpdateRequest, LeavesThePolicyAloneUnlessNamed) {
  auto request =
      parse_update_request(R"({"Memory": 1048576, "RestartPolicy": {"Name": "", "MaximumRetryCount": 0}})");
  ASSERT_TRUE(request);
  EXPECT_EQ(request->resources.memory, 1048576);
  EXPECT_FALSE(request->restart_policy);
}

TEST(ContainerPort, ExpandsRanges) {
  auto ports = expand_container_ports("8000-8002/udp");
  ASSERT_TRUE(ports);
  EXPECT_EQ(ports->size(), 3u);
  EXPECT_EQ(ports->back().str(), "8002/udp");
  auto all = expand_container_ports("0-65535");
  ASSERT_TRUE(all);
  EXPECT_EQ(all->size(), 65536u);
  for (const char* text : {"", "/tcp", "x", "80/", "80/icmp", "3-2", "-1", "1-", "65536"}) {
    EXPECT_FALSE(expand_container_ports(text)) << text;
  }
}

}  // namespace
}  // namespace berth::spec
