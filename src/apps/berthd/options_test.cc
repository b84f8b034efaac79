// Tests of the command line and of -H.
#include "apps/berthd/options.h"

#include <gtest/gtest.h>

#include "apps/berthd/config_file.h"
#include "apps/berthd/listen_address.h"

namespace berth::berthd {
namespace {

Result<Options> parse(std::vector<const char*> arguments) {
  return parse_options(arguments);
}

TEST(Options, TakesDockerdsNotations) {
  auto options =
      parse({"-D", "-H", "unix:///a", "-Htcp://127.0.0.1:1", "--host=fd://", "--data-root", "/d",
             "--exec-root=/e", "-p", "/p", "-G", "docker", "--log-opt", "max-size=1m", "--log-opt=max-file=2",
             "--ipv6=false", "--default-ulimit", "nofile=1:2", "--live-restore"})
          .value();
  EXPECT_EQ(options.hosts, (std::vector<std::string>{"unix:///a", "tcp://127.0.0.1:1", "fd://"}));
  EXPECT_EQ(options.data_root, "/d");
  EXPECT_EQ(options.exec_root, "/e");
  EXPECT_EQ(options.pid_file, "/p");
  EXPECT_EQ(options.group, "docker");
  EXPECT_EQ(options.log_level, log::Level::Debug);
  EXPECT_EQ(options.log_options.at("max-file"), "2");
  EXPECT_FALSE(options.ipv6);
  EXPECT_TRUE(options.inter_container);
  EXPECT_EQ(options.action, Options::Action::Serve);
  EXPECT_EQ(parse({"-v"})->action, Options::Action::ShowVersion);
  EXPECT_EQ(parse({"--help"})->action, Options::Action::ShowHelp);
}

TEST(Options, Registries) {
  auto options =
      parse({"--insecure-registry", "10.0.0.0/8", "--insecure-registry=reg.lan:5000", "--registry-mirror",
             "https://mirror.lan", "--max-concurrent-downloads=6", "--registry-token-server", "auth.lan"})
          .value();
  EXPECT_EQ(options.insecure_registries, (std::vector<std::string>{"10.0.0.0/8", "reg.lan:5000"}));
  EXPECT_EQ(options.registry_mirrors, std::vector<std::string>{"https://mirror.lan"});
  EXPECT_EQ(options.token_servers, std::vector<std::string>{"auth.lan"});
  EXPECT_EQ(options.max_downloads, 6U);
  EXPECT_FALSE(parse({"--max-concurrent-uploads", "0"}));
}

TEST(Options, RefusesInOneLine) {
  EXPECT_EQ(parse({"--nope"}).error().message(), "unknown flag: --nope");
  EXPECT_EQ(parse({"-x"}).error().message(), "unknown shorthand flag: 'x'");
  EXPECT_EQ(parse({"--data-root"}).error().message(), "flag needs an argument: --data-root");
  EXPECT_FALSE(parse({"--data-root", "relative"}));
  EXPECT_FALSE(parse({"serve"}));
  EXPECT_FALSE(parse({"--debug=maybe"}));
  EXPECT_FALSE(parse({"--mtu", "12x"}));
  EXPECT_FALSE(parse({"--log-level", "loud"}));
  EXPECT_FALSE(parse({"--log-opt", "max-size"}));
  EXPECT_EQ(parse({"--storage-opt", "size=1"}).error().kind(), Kind::Unsupported);
  EXPECT_EQ(parse({"--selinux-enabled"}).error().kind(), Kind::Unsupported);
  EXPECT_EQ(parse({"--default-runtime", "nvidia"}).error().kind(), Kind::Unsupported);
  EXPECT_FALSE(parse({"--add-runtime", "nvidia"}));
  EXPECT_FALSE(parse({"--feature", "=true"}));
  EXPECT_FALSE(parse({"--tlsverify=perhaps"}));
  EXPECT_TRUE(parse({"--tls=false"})->open_tcp);
}

TEST(Options, TakesDockerdsFlagsWithoutAMeaning) {
  auto options =
      parse({"--containerd", "/c.sock", "--containerd-namespace", "a", "--containerd-plugins-namespace", "b",
             "--add-runtime", "kata=/usr/bin/k", "--exec-opt", "native.cgroupdriver=systemd", "-r",
             "--storage-driver", "overlay2", "--init-path", "/i", "--userland-proxy=false"})
          .value();
  EXPECT_EQ(options.notices.size(), 2u);
  EXPECT_NE(options.notices[0].find("\"kata\""), std::string::npos);
}

TEST(Options, OfTheEngine) {
  auto options = parse({}).value();
  EXPECT_TRUE(options.live_restore);
  EXPECT_FALSE(options.cdi_spec_dirs);
  options = parse({"--live-restore=false", "--userns-remap", "default", "--cdi-spec-dir=/a",
                   "--cdi-spec-dir=/b", "--feature", "cdi=false", "--feature", "x", "--log-format=json"})
                .value();
  EXPECT_FALSE(options.live_restore);
  EXPECT_EQ(options.userns_remap, "default");
  EXPECT_EQ(options.cdi_spec_dirs, (std::vector<std::string>{"/a", "/b"}));
  EXPECT_EQ(options.features, (std::map<std::string, bool>{{"cdi", false}, {"x", true}}));
  EXPECT_EQ(options.log_format, log::Format::Json);
  EXPECT_EQ(parse({"--cdi-spec-dir="})->cdi_spec_dirs, std::vector<std::string>());
}

TEST(Options, Tls) {
  EXPECT_EQ(parse({})->tls, Options::Tls::Off);
  EXPECT_EQ(parse({"--tls"})->tls, Options::Tls::On);
  EXPECT_EQ(parse({"--tlsverify", "--tls"})->tls, Options::Tls::Mutual);
  auto options = parse({"--tlsverify", "--tlscacert=/a", "--tlscert", "/b", "--tlskey", "/c"}).value();
  EXPECT_EQ(options.tls, Options::Tls::Mutual);
  EXPECT_EQ(options.tls_ca, "/a");
  EXPECT_EQ(options.tls_certificate, "/b");
  EXPECT_EQ(options.tls_key, "/c");
  EXPECT_FALSE(options.open_tcp);
}

TEST(Options, HelpNamesEveryFlag) {
  for (const char* flag :
       {"--data-root", "--exec-root", "-H, --host", "--group", "--log-level", "--bip", "--version"}) {
    EXPECT_NE(help_text().find(flag), std::string::npos) << flag;
  }
}

TEST(ConfigFile, TakesDockerdsKeys) {
  Options options;
  auto applied = apply_config_file(R"({"debug": true, "hosts": ["unix:///a", "fd://"], "mtu": 1400,
    "log-driver": "local", "log-opts": {"max-size": "1m"}, "labels": ["a=b"], "ip": "127.0.0.1",
    "default-address-pools": [{"base": "10.10.0.0/16", "size": 24}], "live-restore": true,
    "default-ulimits": {"nofile": {"Name": "nofile", "Hard": 20, "Soft": 10}}})",
                                   options);
  ASSERT_TRUE(applied.has_value()) << applied.error().message();
  EXPECT_EQ(options.log_level, log::Level::Debug);
  EXPECT_EQ(options.hosts, (std::vector<std::string>{"unix:///a", "fd://"}));
  EXPECT_EQ(options.mtu, 1400u);
  EXPECT_EQ(options.log_options.at("max-size"), "1m");
  EXPECT_EQ(options.labels, std::vector<std::string>{"a=b"});
  EXPECT_EQ(options.address_pools, std::vector<std::string>{"base=10.10.0.0/16,size=24"});
  EXPECT_EQ(options.default_ulimits, std::vector<std::string>{"nofile=10:20"});
  EXPECT_TRUE(apply_config_file(" \n", options).has_value());
}

TEST(ConfigFile, TakesDockerdsProxies) {
  Options options;
  auto applied = apply_config_file(
      R"({"proxies": {"http-proxy": "http://a", "https-proxy": "http://b", "no-proxy": "c"}})", options);
  ASSERT_TRUE(applied.has_value()) << applied.error().message();
  EXPECT_EQ(options.http_proxy, "http://a");
  EXPECT_EQ(options.https_proxy, "http://b");
  EXPECT_EQ(options.no_proxy, "c");
}

TEST(ConfigFile, TakesDockerdsGroups) {
  Options options;
  auto applied = apply_config_file(R"({"builder": {"gc": {"enabled": true, "defaultKeepStorage": "10GB"}},
    "features": {"cdi": true, "buildkit": false}, "cdi-spec-dirs": [],
    "runtimes": {"nvidia": {"path": "nvidia-container-runtime", "runtimeArgs": []},
                 "kata": {"path": "kata-runtime", "runtimeArgs": []}}})",
                                   options);
  ASSERT_TRUE(applied.has_value()) << applied.error().message();
  EXPECT_EQ(options.build_cache_bytes, uint64_t{10} << 30);
  EXPECT_EQ(options.features, (std::map<std::string, bool>{{"buildkit", false}, {"cdi", true}}));
  EXPECT_EQ(options.cdi_spec_dirs, std::vector<std::string>());
  EXPECT_EQ(options.notices.size(), 1u);
}

TEST(ConfigFile, TakesDockerdsKeysOfNetworks) {
  Options options;
  auto applied = apply_config_file(R"({"fixed-cidr": "10.5.0.0/16", "fixed-cidr-v6": "fd05::/64",
    "bridge": "none", "allow-direct-routing": true, "host-gateway-ips": ["10.5.0.1", "fd05::1"],
    "default-network-opts": {"bridge": {"com.docker.network.driver.mtu": "1400", "x": "y"}}})",
                                   options);
  ASSERT_TRUE(applied.has_value()) << applied.error().message();
  EXPECT_EQ(options.fixed_cidr, "10.5.0.0/16");
  EXPECT_EQ(options.fixed_cidr6, "fd05::/64");
  EXPECT_EQ(options.bridge, "none");
  EXPECT_TRUE(options.direct_routing);
  EXPECT_EQ(options.host_gateways, (std::vector<std::string>{"10.5.0.1", "fd05::1"}));
  EXPECT_EQ(options.default_network_opts,
            (std::vector<std::string>{"bridge=com.docker.network.driver.mtu=1400", "bridge=x=y"}));
}

TEST(ConfigFile, NoneWhereTheNullDeviceIsNamed) {
  auto loaded = load_options(std::vector<const char*>{"--config-file", "/dev/null", "--mtu", "1300"});
  ASSERT_TRUE(loaded.has_value()) << loaded.error().message();
  EXPECT_EQ(loaded->mtu, 1300u);
}

TEST(ConfigFile, RefusesWhatItDoesNotKnowAndWhatIsSaidTwice) {
  Options options = parse({"--mtu", "1300", "-H", "unix:///x"}).value();
  EXPECT_EQ(apply_config_file(R"({"nope": 1, "config-file": "/x"})", options).error().message(),
            "the following directives don't match any configuration option: config-file, nope");
  EXPECT_EQ(apply_config_file(R"({"mtu": 1, "hosts": []})", options).error().message(),
            "the following directives are specified both as a flag and in the configuration file: hosts: "
            "(from flag: "
            "unix:///x, from file: ), mtu: (from flag: 1300, from file: 1)");
  options = parse({"--http-proxy", "http://me:secret@a"}).value();
  EXPECT_EQ(
      apply_config_file(R"({"proxies": {"http-proxy": "http://me:secret@b"}})", options).error().message(),
      "the following directives are specified both as a flag and in the configuration file: http-proxy: "
      "(from "
      "flag: http://xxxxx:xxxxx@a, from file: http://xxxxx:xxxxx@b)");
  EXPECT_FALSE(apply_config_file("[]", options));
  EXPECT_FALSE(apply_config_file("{", options));
  EXPECT_FALSE(apply_config_file(R"({"bip": [[1]]})", options));
  EXPECT_FALSE(apply_config_file(R"({"debug": "perhaps"})", options));
}

TEST(ListenAddress, ReadsHosts) {
  EXPECT_EQ(parse_listen_address("unix:///run/x.sock").value(), ListenAddress(UnixAddress{"/run/x.sock"}));
  EXPECT_EQ(parse_listen_address("/run/x.sock").value(), ListenAddress(UnixAddress{"/run/x.sock"}));
  EXPECT_EQ(parse_listen_address("fd://").value(), ListenAddress(ActivatedSockets{}));
  EXPECT_EQ(parse_listen_address("tcp://").value(), ListenAddress(TcpAddress{"127.0.0.1", 0, true}));
  EXPECT_EQ(parse_listen_address("tcp://:99").value(), ListenAddress(TcpAddress{"127.0.0.1", 99, true}));
  EXPECT_EQ(parse_listen_address(":99").value(), ListenAddress(TcpAddress{"127.0.0.1", 99, true}));
  EXPECT_EQ(parse_listen_address("0.0.0.0:99").value(), ListenAddress(TcpAddress{"0.0.0.0", 99, false}));
  EXPECT_EQ(parse_listen_address("[::1]:99").value(), ListenAddress(TcpAddress{"::1", 99, true}));
  EXPECT_EQ(parse_listen_address("tcp://localhost:99").value(),
            ListenAddress(TcpAddress{"127.0.0.1", 99, true}));
  EXPECT_EQ(parse_listen_address("tcp://0.0.0.0:99").value(),
            ListenAddress(TcpAddress{"0.0.0.0", 99, false}));
  EXPECT_EQ(parse_listen_address("tcp://[::1]:99/").value(), ListenAddress(TcpAddress{"::1", 99, true}));
  for (const char* bad : {"", "unix://", "unix://relative", "tcp://host:99", "tcp://1.2.3.4:x",
                          "tcp://1.2.3.4:99999", "http://x", "127.0.0.1", "1.2.3.4:x"}) {
    EXPECT_FALSE(parse_listen_address(bad)) << bad;
  }
}

}  // namespace
}  // namespace berth::berthd
