// Values of flags: tables of what is taken and what is refused.
#include <gtest/gtest.h>
#include <stdlib.h>

#include "apps/berth/commands/commands.h"
#include "apps/berth/options/attachments.h"
#include "apps/berth/options/build_outputs.h"
#include "apps/berth/options/container_config.h"
#include "apps/berth/options/csv.h"
#include "apps/berth/options/devices.h"
#include "apps/berth/options/filters.h"
#include "apps/berth/options/ip_address.h"
#include "apps/berth/options/ipam.h"
#include "apps/berth/options/key_values.h"
#include "apps/berth/options/links.h"
#include "apps/berth/options/moment.h"
#include "apps/berth/options/mounts.h"
#include "apps/berth/options/ports.h"
#include "apps/berth/options/quantity.h"
#include "base/json.h"

namespace berth::cli::options {
namespace {

using Strings = std::vector<std::string>;

template <class T>
std::string error_of(const T& result) {
  return result ? "no error" : result.error().message();
}

TEST(Quantity, Bytes) {
  EXPECT_EQ(*parse_bytes("1024"), 1024);
  EXPECT_EQ(*parse_bytes("512m"), 512LL << 20);
  EXPECT_EQ(*parse_bytes("1.5G"), 3LL << 29);
  EXPECT_EQ(*parse_bytes("64KiB"), 64 << 10);
  EXPECT_EQ(*parse_bytes("2 gb"), 2LL << 30);
  EXPECT_EQ(*parse_bytes("7b"), 7);
  EXPECT_EQ(error_of(parse_bytes("x")), "invalid size: 'x'");
  EXPECT_EQ(error_of(parse_bytes("-1")), "invalid size: '-1'");
  EXPECT_EQ(error_of(parse_bytes("5x")), "invalid suffix: 'x'");
  EXPECT_EQ(error_of(parse_bytes("5mx")), "invalid suffix: 'mx'");
  EXPECT_FALSE(parse_bytes(""));
  EXPECT_FALSE(parse_bytes("99999999999999999999p"));
}

TEST(Quantity, Cpus) {
  EXPECT_EQ(*parse_cpus("2"), 2'000'000'000);
  EXPECT_EQ(*parse_cpus("0.5"), 500'000'000);
  EXPECT_EQ(*parse_cpus("3/2"), 1'500'000'000);
  EXPECT_EQ(*parse_cpus(".000000001"), 1);
  EXPECT_EQ(error_of(parse_cpus("0.0000000001")), "value is too precise");
  EXPECT_EQ(error_of(parse_cpus("abc")), "failed to parse abc as a rational number");
  EXPECT_FALSE(parse_cpus("1/0"));
  EXPECT_FALSE(parse_cpus("99999999999999999999"));
}

TEST(Ports, Forms) {
  struct Case {
    const char* publish;
    const char* port;
    PortBinding binding;
  };
  for (const Case& c : std::vector<Case>{{"80", "80/tcp", {"", ""}},
                                         {"8080:80", "80/tcp", {"", "8080"}},
                                         {"8080:80/UDP", "80/udp", {"", "8080"}},
                                         {"127.0.0.1:8080:80", "80/tcp", {"127.0.0.1", "8080"}},
                                         {"127.0.0.1::80", "80/tcp", {"127.0.0.1", ""}},
                                         {"[::1]:8080:80", "80/tcp", {"::1", "8080"}},
                                         {"8000-8010:80", "80/tcp", {"", "8000-8010"}},
                                         {"published=8080,target=80,protocol=udp", "80/udp", {"", "8080"}}}) {
    auto ports = parse_ports({c.publish}, {});
    ASSERT_TRUE(ports) << c.publish << ": " << error_of(ports);
    EXPECT_EQ(ports->bindings.at(c.port), std::vector{c.binding}) << c.publish;
    EXPECT_TRUE(ports->exposed.contains(c.port));
  }
}

TEST(Ports, RangesMatchOneToOne) {
  auto ports = parse_ports({"8000-8002:80-82"}, {"90", "100-101/udp"});
  ASSERT_TRUE(ports);
  EXPECT_EQ(ports->bindings.at("82/tcp"), (std::vector{PortBinding{"", "8002"}}));
  EXPECT_EQ(ports->exposed,
            (std::set<std::string>{"80/tcp", "81/tcp", "82/tcp", "90/tcp", "100/udp", "101/udp"}));
}

TEST(Ports, Errors) {
  EXPECT_EQ(error_of(parse_ports({"foo"}, {})), "invalid containerPort: foo");
  EXPECT_EQ(error_of(parse_ports({"1:2:3:4"}, {})), "invalid IP address: 1:2");
  EXPECT_EQ(error_of(parse_ports({"x:80"}, {})), "invalid hostPort: x");
  EXPECT_EQ(error_of(parse_ports({"80:"}, {})), "no port specified: 80:<empty>");
  EXPECT_EQ(error_of(parse_ports({"80/foo"}, {})), "invalid proto: foo");
  EXPECT_EQ(error_of(parse_ports({"1-2:80-82"}, {})),
            "invalid ranges specified for container and host Ports: 80-82 and 1-2");
  EXPECT_EQ(error_of(parse_ports({}, {"80:90"})), "invalid port format for --expose: 80:90");
  EXPECT_FALSE(parse_ports({"70000"}, {}));
  EXPECT_FALSE(parse_ports({}, {"90-80"}));
}

TEST(Mounts, Forms) {
  auto mount = parse_mount("type=bind,source=/a,target=/b,readonly,bind-propagation=rslave");
  ASSERT_TRUE(mount) << error_of(mount);
  EXPECT_EQ(*mount, (Json{{"Type", "bind"},
                          {"Source", "/a"},
                          {"Target", "/b"},
                          {"ReadOnly", true},
                          {"BindOptions", {{"Propagation", "rslave"}}}}));
  mount = parse_mount("dst=/b,src=v,volume-nocopy,volume-label=a=b,volume-opt=type=nfs,volume-driver=local");
  EXPECT_EQ(*mount, (Json{{"Type", "volume"},
                          {"Source", "v"},
                          {"Target", "/b"},
                          {"VolumeOptions",
                           {{"NoCopy", true},
                            {"Labels", {{"a", "b"}}},
                            {"DriverConfig", {{"Name", "local"}, {"Options", {{"type", "nfs"}}}}}}}}));
  mount = parse_mount("type=tmpfs,target=/t,tmpfs-size=64m,tmpfs-mode=1770");
  EXPECT_EQ((*mount)["TmpfsOptions"], (Json{{"SizeBytes", 64 << 20}, {"Mode", 01770}}));
  mount = parse_mount("type=volume,\"src=with,comma\",target=/t");
  EXPECT_EQ((*mount)["Source"], "with,comma");
  mount = parse_mount("type=bind,src=./here,target=/t");
  EXPECT_EQ((*mount)["Source"], absolute_path("here"));
}

TEST(Mounts, Errors) {
  EXPECT_EQ(error_of(parse_mount("foo")), "invalid field 'foo' must be a key=value pair");
  EXPECT_EQ(error_of(parse_mount("type=bind")), "target is required");
  EXPECT_EQ(error_of(parse_mount("type=,target=/x")), "type is required");
  EXPECT_EQ(error_of(parse_mount("a=b,target=/x")), "unexpected key 'a' in 'a=b'");
  EXPECT_EQ(error_of(parse_mount("target=/x,ro=maybe")), "invalid value for ro: maybe");
  EXPECT_EQ(error_of(parse_mount("target=/x,bind-propagation=shared")),
            "cannot mix 'bind-*' options with mount type 'volume'");
  EXPECT_EQ(error_of(parse_mount("type=bind,target=/x,bind-recursive=writable")),
            "option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction");
  EXPECT_FALSE(parse_mount("type=tmpfs,target=/x,tmpfs-mode=9"));
  EXPECT_FALSE(parse_mount(""));
}

TEST(Volumes, Forms) {
  auto volumes = parse_volumes({"/a:/b", "/anonymous", "name:/c:ro,z", "./d:/e"});
  ASSERT_TRUE(volumes);
  EXPECT_EQ(volumes->binds, (Strings{"/a:/b", "name:/c:ro,z", absolute_path("d") + ":/e"}));
  EXPECT_EQ(volumes->anonymous, (Strings{"/anonymous"}));
  EXPECT_EQ(error_of(parse_volumes({":/b"})), "invalid spec: :/b: empty section between colons");
  EXPECT_EQ(error_of(parse_volumes({"/a:/b:ro:x"})), "invalid spec: /a:/b:ro:x: too many colons");
  EXPECT_EQ(error_of(parse_volumes({""})), "invalid empty volume spec");
}

TEST(Csv, QuotesAsGoDoes) {
  EXPECT_EQ(*split_csv("a,b,,c"), (Strings{"a", "b", "", "c"}));
  EXPECT_EQ(*split_csv("\"a,b\",\"c\"\"d\""), (Strings{"a,b", "c\"d"}));
  EXPECT_EQ(*split_csv("a,"), (Strings{"a", ""}));
  EXPECT_FALSE(split_csv("a\"b"));
  EXPECT_FALSE(split_csv("\"a"));
  EXPECT_FALSE(split_csv("\"a\"b"));
}

TEST(KeyValues, Files) {
  ::setenv("BERTH_TEST_SET", "value", 1);
  ::unsetenv("BERTH_TEST_UNSET");
  auto lines =
      parse_key_values("\xEF\xBB\xBF# comment\n\n  A=b c \nEMPTY=\nBERTH_TEST_SET\nBERTH_TEST_UNSET\nX=y\r\n",
                       "f", Lookup::Environment);
  ASSERT_TRUE(lines) << error_of(lines);
  EXPECT_EQ(*lines, (Strings{"A=b c ", "EMPTY=", "BERTH_TEST_SET=value", "X=y"}));
  EXPECT_EQ(*parse_key_values("A\nB=c", "f", Lookup::Empty), (Strings{"B=c"}));
  EXPECT_EQ(error_of(parse_key_values("A B=c", "f", Lookup::Empty)),
            "invalid env file (f): variable 'A B' contains whitespaces");
  EXPECT_EQ(error_of(parse_key_values("=c", "f", Lookup::Empty)),
            "invalid env file (f): no variable name on line '=c'");
  EXPECT_EQ(error_of(parse_key_values("a=b\n\xFF=c", "f", Lookup::Empty)),
            "invalid env file (f): invalid utf8 bytes at line 2");
  EXPECT_EQ(error_of(read_key_values({"/nonexistent/file"}, {}, Lookup::Empty)),
            "open /nonexistent/file: no such file or directory");
  EXPECT_EQ(*check_environment("BERTH_TEST_SET"), "BERTH_TEST_SET=value");
  EXPECT_EQ(*check_environment("BERTH_TEST_UNSET"), "BERTH_TEST_UNSET");
  EXPECT_EQ(error_of(check_environment("=x")), "invalid environment variable: =x");
  EXPECT_EQ(error_of(check_label("=x")), "invalid label '=x': empty name");
}

TEST(Devices, Forms) {
  EXPECT_EQ(
      *parse_device("/dev/null"),
      (Json{{"PathOnHost", "/dev/null"}, {"PathInContainer", "/dev/null"}, {"CgroupPermissions", "rwm"}}));
  EXPECT_EQ(*parse_device("/dev/a:/dev/b:r"),
            (Json{{"PathOnHost", "/dev/a"}, {"PathInContainer", "/dev/b"}, {"CgroupPermissions", "r"}}));
  EXPECT_EQ(*parse_device("/dev/a:rw"),
            (Json{{"PathOnHost", "/dev/a"}, {"PathInContainer", "/dev/a"}, {"CgroupPermissions", "rw"}}));
  EXPECT_EQ(error_of(parse_device("foo")), "foo is not an absolute path");
  EXPECT_EQ(error_of(parse_device("/dev/a:/dev/b:x")), "bad mode specified: x");
  EXPECT_FALSE(parse_device("/a:/b:r:w"));
}

TEST(Devices, LimitsAndGpus) {
  EXPECT_EQ(*parse_ulimit("nofile=1024:2048"), (Json{{"Name", "nofile"}, {"Soft", 1024}, {"Hard", 2048}}));
  EXPECT_EQ(*parse_ulimit("core=-1"), (Json{{"Name", "core"}, {"Soft", -1}, {"Hard", -1}}));
  EXPECT_EQ(error_of(parse_ulimit("foo")), "invalid ulimit argument: foo");
  EXPECT_EQ(error_of(parse_ulimit("foo=1")), "invalid ulimit type: foo");
  EXPECT_FALSE(parse_ulimit("nofile=5:1"));
  EXPECT_FALSE(parse_ulimit("nofile=1:2:3"));
  EXPECT_EQ((*parse_gpus("all"))["Count"], -1);
  EXPECT_EQ((*parse_gpus("\"device=0,1\""))["DeviceIDs"], (Json{"0", "1"}));
  EXPECT_EQ(error_of(parse_gpus("foo")),
            "invalid count (foo): value must be either \"all\" or an integer: invalid syntax");
  EXPECT_EQ(*parse_throttle_bytes("/dev/sda:1mb"), (Json{{"Path", "/dev/sda"}, {"Rate", 1 << 20}}));
  EXPECT_FALSE(parse_throttle_bytes("sda:1mb"));
  EXPECT_EQ(*parse_weight_device("/dev/sda:100"), (Json{{"Path", "/dev/sda"}, {"Weight", 100}}));
  EXPECT_FALSE(parse_weight_device("/dev/sda:5"));
  EXPECT_TRUE(check_device_cgroup_rule("c 1:* rwm"));
  EXPECT_FALSE(check_device_cgroup_rule("c 1:3"));
  EXPECT_TRUE(check_sysctl("net.ipv4.ip_forward=1"));
  EXPECT_EQ(error_of(check_sysctl("kernel.panic=1")), "sysctl 'kernel.panic=1' is not allowed");
  EXPECT_EQ(*check_stream("STDIN"), "stdin");
}

TEST(Attachments, Forms) {
  EXPECT_EQ(parse_attachment("net")->network, "net");
  auto attachment = parse_attachment("name=net,alias=a,alias=b,ip=10.0.0.2,driver-opt=k=v,gw-priority=-5");
  ASSERT_TRUE(attachment) << error_of(attachment);
  EXPECT_EQ(attachment->aliases, (Strings{"a", "b"}));
  EXPECT_EQ(attachment->driver_options.at("k"), "v");
  EXPECT_EQ(attachment->gateway_priority, -5);
  EXPECT_EQ(error_of(parse_attachment("alias=a")), "network name/id is not specified");
  EXPECT_EQ(error_of(parse_attachment("name=n,foo=b")), "invalid field key foo");
  EXPECT_TRUE(is_user_defined("net"));
  EXPECT_FALSE(is_user_defined("container:x"));
}

TEST(Links, Checks) {
  EXPECT_TRUE(check_link("a:b"));
  EXPECT_EQ(error_of(check_link("a:b:c")), "bad format for links: a:b:c");
  EXPECT_EQ(*check_extra_host("h=[::1]"), "h:::1");
  EXPECT_EQ(*check_extra_host("h:host-gateway"), "h:host-gateway");
  EXPECT_EQ(error_of(check_extra_host("foo")), "bad format for add-host: \"foo\"");
  EXPECT_EQ(error_of(check_extra_host("h:x")), "invalid IP address in add-host: \"x\"");
  EXPECT_EQ(*check_dns_search("."), ".");
  EXPECT_EQ(*check_dns_search("example.com."), "example.com");
  EXPECT_FALSE(check_dns_search("a..b"));
  EXPECT_FALSE(check_dns_search("-a"));
  EXPECT_EQ(error_of(check_ip("foo")), "IP address is not correctly formatted: foo");
  EXPECT_EQ(*check_ip("0:0:0:0:0:0:0:1"), "::1");
  EXPECT_TRUE(is_mac_address("92:d0:c6:0a:29:33"));
  EXPECT_FALSE(is_mac_address("92:d0:c6:0a:29"));
}

TEST(Ipam, GivesEverySubnetItsOwn) {
  auto config = ipam_config({.driver = "default",
                             .subnets = {"10.0.0.0/24", "fd00::/64"},
                             .ranges = {"10.0.0.128/25"},
                             .gateways = {"fd00::1", "10.0.0.1"},
                             .auxiliary = {{"a", "10.0.0.5"}},
                             .options = {}});
  ASSERT_TRUE(config) << error_of(config);
  EXPECT_EQ((*config)["Config"][0], (Json{{"Subnet", "10.0.0.0/24"},
                                          {"IPRange", "10.0.0.128/25"},
                                          {"Gateway", "10.0.0.1"},
                                          {"AuxiliaryAddresses", {{"a", "10.0.0.5"}}}}));
  EXPECT_EQ((*config)["Config"][1], (Json{{"Subnet", "fd00::/64"}, {"Gateway", "fd00::1"}}));
  EXPECT_EQ(error_of(ipam_config({.gateways = {"10.0.0.1"}})),
            "every ip-range or gateway must have a corresponding subnet");
  EXPECT_EQ(error_of(ipam_config({.subnets = {"10.0.0.0/24"}, .gateways = {"10.0.1.1"}})),
            "no matching subnet for gateway 10.0.1.1");
  EXPECT_EQ(error_of(ipam_config({.subnets = {"10.0.0.0/8", "10.1.0.0/16"}})),
            "multiple overlapping subnet configuration is not supported");
  EXPECT_EQ(error_of(ipam_config({.subnets = {"x"}})), "invalid subnet: invalid CIDR address: x");
}

TEST(Filters, AsTheApiTakesThem) {
  EXPECT_EQ(filters_json(parse_filters({"Status=running", "label=a=b", "label= c "})),
            R"({"label":{"a=b":true,"c":true},"status":{"running":true}})");
  EXPECT_EQ(filters_json({}), "");
}

TEST(Moment, AsTheApiTakesThem) {
  Timestamp now = from_unix_nanoseconds(1'000'000'000'500'000'000);
  EXPECT_EQ(*api_time("10m", now), "999999400.500000000");
  EXPECT_EQ(*api_time("1700000000.5", now), "1700000000.500000000");
  EXPECT_EQ(*api_time("2024-01-02T03:04:05Z", now), "1704164645.000000000");
  EXPECT_EQ(*api_time("", now), "");
  EXPECT_EQ(error_of(api_time("foo", now)), "failed to parse value as time or duration: \"foo\"");
}

TEST(RestartPolicy, Forms) {
  EXPECT_EQ(parse_restart_policy("on-failure:5")->retries, 5);
  EXPECT_EQ(parse_restart_policy("always")->name, "always");
  EXPECT_EQ(error_of(parse_restart_policy(":5")),
            "invalid restart policy format: no policy provided before colon");
  EXPECT_EQ(error_of(parse_restart_policy("on-failure:x")),
            "invalid restart policy format: maximum retry count must be an integer");
}

/// The body of POST /containers/create for a command line of `create`.
Json body_of(std::vector<const char*> words, std::string* error = nullptr) {
  grammar::Invocation invocation(commands::create_command, "create");
  grammar::Parser parser(invocation);
  auto verdict = parser.parse(words);
  if (!verdict) {
    if (error != nullptr) *error = verdict.error().message();
    return {};
  }
  auto config = container_config(invocation, {});
  if (!config) {
    if (error != nullptr) *error = config.error().message;
    return {};
  }
  return *parse_json(config->body);
}

TEST(ContainerConfig, PutsFlagsWhereTheApiHasThem) {
  Json body = body_of({"-it",
                       "--name",
                       "n",
                       "-e",
                       "A=b",
                       "-l",
                       "x=y",
                       "-w",
                       "/w",
                       "-u",
                       "1:2",
                       "-m",
                       "64m",
                       "--cpus=1.5",
                       "-p",
                       "8080:80",
                       "-v",
                       "/h:/c:ro",
                       "-v",
                       "/anon",
                       "--network",
                       "host",
                       "--cap-add",
                       "SYS_ADMIN",
                       "--restart",
                       "on-failure:3",
                       "--ulimit",
                       "nofile=10",
                       "--entrypoint",
                       "sh",
                       "--tmpfs",
                       "/t:size=1m",
                       "--health-cmd",
                       "true",
                       "--health-interval",
                       "5s",
                       "--init",
                       "--pids-limit",
                       "100",
                       "image",
                       "-c",
                       "echo"});
  EXPECT_EQ(body["Image"], "image");
  EXPECT_EQ(body["Cmd"], (Json{"-c", "echo"}));
  EXPECT_EQ(body["Entrypoint"], Json::array({"sh"}));
  EXPECT_EQ(body["Env"], Json::array({"A=b"}));
  EXPECT_EQ(body["Labels"], (Json{{"x", "y"}}));
  EXPECT_EQ(body["Volumes"], (Json{{"/anon", Json::object()}}));
  EXPECT_EQ(body["ExposedPorts"], (Json{{"80/tcp", Json::object()}}));
  EXPECT_EQ(body["Healthcheck"], (Json{{"Test", {"CMD-SHELL", "true"}}, {"Interval", 5'000'000'000}}));
  EXPECT_EQ(body["Tty"], true);
  EXPECT_EQ(body["StdinOnce"], true);
  Json host = body["HostConfig"];
  EXPECT_EQ(host["Memory"], 64 << 20);
  EXPECT_EQ(host["NanoCpus"], 1'500'000'000);
  EXPECT_EQ(host["PidsLimit"], 100);
  EXPECT_EQ(host["Binds"], Json::array({"/h:/c:ro"}));
  EXPECT_EQ(host["PortBindings"], (Json{{"80/tcp", Json::array({{{"HostIp", ""}, {"HostPort", "8080"}}})}}));
  EXPECT_EQ(host["NetworkMode"], "host");
  EXPECT_EQ(host["RestartPolicy"], (Json{{"Name", "on-failure"}, {"MaximumRetryCount", 3}}));
  EXPECT_EQ(host["Ulimits"], Json::array({{{"Name", "nofile"}, {"Soft", 10}, {"Hard", 10}}}));
  EXPECT_EQ(host["Tmpfs"], (Json{{"/t", "size=1m"}}));
  EXPECT_EQ(host["Init"], true);
  EXPECT_FALSE(host.contains("Privileged"));
}

TEST(ContainerConfig, NetworksBecomeEndpoints) {
  Json body = body_of({"--network", "net", "--network-alias", "a", "--ip", "10.0.0.2", "image"});
  EXPECT_EQ(
      body["NetworkingConfig"]["EndpointsConfig"],
      (Json{{"net", {{"Aliases", Json::array({"a"})}, {"IPAMConfig", {{"IPv4Address", "10.0.0.2"}}}}}}));
  body = body_of({"--network", "a", "--network", "name=b,alias=x", "image"});
  EXPECT_EQ(body["HostConfig"]["NetworkMode"], "a");
  EXPECT_EQ(body["NetworkingConfig"]["EndpointsConfig"],
            (Json{{"a", Json::object()}, {"b", {{"Aliases", Json::array({"x"})}}}}));
  EXPECT_FALSE(body_of({"image"}).contains("NetworkingConfig"));
}

TEST(ContainerConfig, AttachesWhatDockerAttaches) {
  EXPECT_EQ(body_of({"image"})["AttachStdout"], true);
  EXPECT_EQ(body_of({"-a", "stderr", "image"})["AttachStdout"], false);
  EXPECT_EQ(body_of({"-a", "stderr", "image"})["AttachStderr"], true);
  EXPECT_EQ(body_of({"-i", "image"})["OpenStdin"], true);
  EXPECT_EQ(body_of({"--entrypoint=", "image"})["Entrypoint"], Json::array({""}));
}

TEST(ContainerConfig, Errors) {
  struct Case {
    std::vector<const char*> words;
    const char* error;
  };
  for (const Case& c : std::vector<Case>{
           {{"--rm", "--restart", "always", "i"},
            "conflicting options: cannot specify both --restart and --rm"},
           {{"--health-cmd", "x", "--no-healthcheck", "i"},
            "--no-healthcheck conflicts with --health-* options"},
           {{"--health-interval", "-5s", "i"}, "--health-interval cannot be negative"},
           {{"--memory-swappiness", "500", "i"},
            "invalid value: 500. Valid memory swappiness range is 0-100"},
           {{"--pid", "foo", "i"}, "--pid: invalid PID mode"},
           {{"--uts", "foo", "i"}, "--uts: invalid UTS mode"},
           {{"--cgroupns", "foo", "i"}, "--cgroupns: invalid CGROUP mode"},
           {{"--mac-address", "foo", "i"}, "foo is not a valid mac address"},
           {{"--security-opt", "foo", "i"}, "Invalid --security-opt: \"foo\""},
           {{"--security-opt", "seccomp=/nonexistent", "i"},
            "opening seccomp profile (/nonexistent) failed: open /nonexistent: no such file or directory"},
           {{"--storage-opt", "foo", "i"}, "invalid storage option"},
           {{"--log-driver", "none", "--log-opt", "a=b", "i"}, "invalid logging opts for driver none"},
           {{"--network", "a", "--network", "a", "i"}, "network \"a\" is specified multiple times"},
           {{"--network", "a", "--network", "host", "i"},
            "conflicting options: cannot attach both user-defined and non-user-defined network-modes"},
           {{"--network", "host", "--network-alias", "x", "i"},
            "network-scoped aliases are only supported for user-defined networks"},
       }) {
    std::string error = "none";
    body_of(c.words, &error);
    EXPECT_EQ(error, c.error);
  }
}

TEST(BuildOutputs, WhatIsTaken) {
  EXPECT_EQ(parse_build_output("out")->type, BuildOutput::Type::Local);
  EXPECT_EQ(parse_build_output("-")->type, BuildOutput::Type::Tar);
  EXPECT_EQ(parse_build_output("type=oci,dest=a.tar")->dest, "a.tar");
  EXPECT_TRUE(parse_build_output("type=registry")->push);
  EXPECT_EQ(error_of(parse_build_output("type=local")), "--output type=local needs a directory: dest=DIR");
  EXPECT_FALSE(parse_build_output("type=oci,push=true"));
  EXPECT_FALSE(parse_build_output("type=oci,unknown=x"));
  EXPECT_FALSE(parse_build_output("type=oci,dest"));
}

TEST(BuildAnnotations, PlacesAndPlatforms) {
  const auto plain = parse_annotation("a=b=c");
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->front().key, "a");
  EXPECT_EQ(plain->front().value, "b=c");
  const auto both = parse_annotation("index,manifest[linux/arm64]:k=v");
  ASSERT_TRUE(both);
  ASSERT_EQ(both->size(), 2u);
  EXPECT_EQ(both->front().place, BuildAnnotation::Place::Index);
  EXPECT_EQ(both->back().platform, "linux/arm64");
  for (const char* wrong : {"=x", "a", "index:=x", "nowhere:k=v", "manifest[x:k=v"})
    EXPECT_FALSE(parse_annotation(wrong)) << wrong;
}

}  // namespace
}  // namespace berth::cli::options
