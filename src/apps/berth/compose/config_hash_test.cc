// Hashes against those that docker's compose 2.40.3 printed (`config --hash`) or wrote into labels for the
// same files.
#include "apps/berth/compose/config_hash.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace berth::cli::compose {
namespace {

/// A folder with a Compose file, taken for /project.
class Folder {
 public:
  Folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "compose-hash-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  Project load(const std::string& text) const {
    std::ofstream(path_ / "compose.yaml") << text;
    LoadOptions options{.files = {(path_ / "compose.yaml").string()}, .name = "p", .directory = "/project"};
    auto project = load_project(options);
    EXPECT_TRUE(project) << project.error().message();
    return project ? std::move(*project) : Project();
  }

 private:
  std::filesystem::path path_;
};

constexpr const char* file = R"(
services:
  plain: {image: busybox, command: echo "a <b> & c", environment: {B: "2", A: null, C: ""}, user: ""}
  rich:
    image: busybox
    build: .
    scale: 2
    depends_on: [plain]
    deploy: {replicas: 2, resources: {reservations: {devices: [{capabilities: [gpu], driver: nvidia}]}}}
    cpus: 1.123456789
    mem_limit: 1g
    ports: ["127.0.0.1:8080:80/udp", "9000"]
    volumes: ["/host:/in:ro,z", "data:/data", {type: tmpfs, target: /t, tmpfs: {size: 1m, mode: 01777}}]
    healthcheck: {test: [CMD, "true"], interval: 90s, retries: 3}
    ulimits: {nproc: 5, nofile: {soft: 1, hard: 2}}
    networks: {default: {aliases: [z, a], priority: 7}, back: null}
    extra_hosts: ["b=1.2.3.4", "a=::1", "a=5.6.7.8"]
    blkio_config: {weight: 300, weight_device: [{path: /dev/sda, weight: 400}]}
    labels: [x=1]
    init: false
    privileged: false
    stop_grace_period: 1m30s
    logging: {driver: local}
    secrets: [{source: s, uid: "7", mode: 0440}]
    sysctls: {net.core.somaxconn: 1024}
    x-own: 1
networks: {back: {internal: true, enable_ipv6: false, ipam: {config: [{subnet: 10.9.0.0/24, gateway: 10.9.0.1}]}, labels: {k: v}}}
volumes: {data: {driver_opts: {size: 1g}}}
secrets: {s: {environment: X}}
)";

TEST(ComposeHash, OfServicesAsDockersComposeHasThem) {
  Project project = Folder().load(file);
  ASSERT_EQ(project.services.size(), 2u);
  EXPECT_EQ(config_hash(project.services.at("plain")),
            "9b28825ecddcece6cee6ab523ca840fcd436644b8d05040db24a570c0e874a40");
  EXPECT_EQ(config_hash(project.services.at("rich")),
            "2e2355b00929aaecd5643f6a002e926c00f719ee3b3b1f658468aa3084980538");
  EXPECT_EQ(declared_hash(project.services.at("rich")), config_hash(project.services.at("rich")));
}

TEST(ComposeHash, OfNetworksAndVolumes) {
  Project project = Folder().load(file);
  ASSERT_EQ(project.networks.size(), 2u);
  EXPECT_EQ(network_hash(project.networks.at("default")),
            "cca2b3a66c94bd18c278d0ace2145197839f42c28f96dcd3878eeb5d03f53510");
  EXPECT_EQ(network_hash(project.networks.at("back")),
            "1871271282e7be4d233a7418bb2846a3a23425830d58580a59258d3ea3ba145b");
  EXPECT_EQ(volume_hash(project.volumes.at("data")),
            "294119848cc3cc33f9200fb03b47ef187f3009203d05b2d24c257fdeff78bc6e");
}

TEST(ComposeHash, FollowsReferencesAndIgnoresWhatAContainerIsNotMadeFrom) {
  Project project = Folder().load(
      "services: {a: {image: x, network_mode: 'service:b', volumes_from: ['b:ro']}, b: {image: x, build: "
      ".}}");
  Service& a = project.services.at("a");
  auto id = [](std::string id) {
    return [id = std::move(id)](const std::string&) { return std::optional(id); };
  };
  EXPECT_NE(config_hash(a, id("1")), config_hash(a, id("2")));
  // What the first names is what the second means.
  Project other = Folder().load(
      "services: {a: {image: x, network_mode: 'container:1', volumes_from: ['container:1:ro']}}");
  Value& from = *a.config.find("volumes_from");
  from.items[0].text = "b";
  EXPECT_EQ(config_hash(a, id("1")), config_hash(other.services.at("a"), id("1")));
  Service& b = project.services.at("b");
  const std::string hash = config_hash(b);
  for (std::string_view key : {"scale", "pull_policy"}) b.config.set(key, Value::scalar("3"));
  b.config.members.erase("build");
  EXPECT_EQ(config_hash(b), hash);
  b.config.set("user", Value::string("1"));
  EXPECT_NE(config_hash(b), hash);
}

}  // namespace
}  // namespace berth::cli::compose
