// Image documents: what is read, what is refused, and that written bytes are stable.
#include "spec/image.h"

#include <gtest/gtest.h>

#include "base/json.h"
#include "base/sha256.h"

namespace berth::spec {
namespace {

const std::string digest_a = sha256("a").str();
const std::string digest_b = sha256("b").str();

TEST(ImageConfig, ReadsDockersConfiguration) {
  auto image = parse_image_config(R"({"architecture":"amd64","os":"linux","created":"2024-05-01T10:00:00.5Z",
    "container_config":{"Hostname":"x"},"docker_version":"20.10.24","config":{"Env":["PATH=/bin","SECRET","*","=x","E="],
    "Cmd":["sh"],"Entrypoint":null,"Volumes":{"/data":{}},"ExposedPorts":{"80/tcp":{}},"Labels":{"a":"b"},
    "Healthcheck":{"Test":["CMD-SHELL","true"],"Interval":1000000000,"Retries":3},"OnBuild":["RUN x"],
    "Shell":["/bin/bash","-c"],"StopSignal":"SIGINT","WorkingDir":"/w","User":"1:2","ArgsEscaped":true},
    "history":[{"created":"0001-01-01T00:00:00Z","created_by":"ADD","empty_layer":true}],
    "rootfs":{"type":"layers","diff_ids":[")" +
                                  digest_a + R"("]}})");
  ASSERT_TRUE(image) << image.error().message();
  EXPECT_EQ(image->platform.str(), "linux/amd64");
  EXPECT_EQ(image->config.env, (std::vector<std::string>{"PATH=/bin", "E="}));
  EXPECT_EQ(image->config.cmd, std::vector<std::string>{"sh"});
  EXPECT_TRUE(image->config.volumes.contains("/data"));
  EXPECT_TRUE(image->config.exposed_ports.contains("80/tcp"));
  EXPECT_EQ(image->config.healthcheck->interval, 1'000'000'000);
  EXPECT_EQ(image->config.healthcheck->retries, 3);
  EXPECT_EQ(image->config.on_build.size(), 1u);
  EXPECT_EQ(to_rfc3339(*image->created), "2024-05-01T10:00:00.5Z");
  ASSERT_EQ(image->history.size(), 1u);
  EXPECT_FALSE(image->history[0].created);
  EXPECT_TRUE(image->history[0].empty_layer);
  ASSERT_EQ(image->diff_ids.size(), 1u);
}

TEST(ImageConfig, WritesStableBytesThatReadBack) {
  ImageConfig image;
  image.created = from_unix_nanoseconds(0);
  image.platform = {.architecture = "amd64", .os = "linux"};
  image.config.env = {"A=1"};
  image.config.labels = {{"k", "v"}};
  image.diff_ids = {*Digest::parse(digest_a)};
  image.history = {{.created_by = "RUN <x> & y"}};
  std::string text = serialise(image);
  EXPECT_EQ(text, R"({"architecture":"amd64","config":{"Env":["A=1"],"Labels":{"k":"v"}},)"
                  R"("created":"1970-01-01T00:00:00Z","history":[{"created_by":"RUN <x> & y"}],"os":"linux",)"
                  R"("rootfs":{"diff_ids":[")" +
                      digest_a + R"("],"type":"layers"}})");
  auto again = parse_image_config(text);
  ASSERT_TRUE(again);
  EXPECT_EQ(serialise(*again), text);
}

TEST(ImageConfig, RefusesMalformed) {
  for (std::string_view bad :
       {"", "[]", "{}", R"({"rootfs":{"type":"zip"}})",
        R"({"rootfs":{"type":"layers","diff_ids":["sha256:../x"]}})",
        R"({"rootfs":{"type":"layers","diff_ids":"x"}})", R"({"config":7,"rootfs":{"type":"layers"}})",
        R"({"config":{"Env":"A=1"},"rootfs":{"type":"layers"}})",
        R"({"created":"now","rootfs":{"type":"layers"}})",
        R"({"config":{"Healthcheck":{"Retries":-1}},"rootfs":{"type":"layers"}})"}) {
    EXPECT_FALSE(parse_image_config(bad)) << bad;
  }
  std::string many = R"({"rootfs":{"type":"layers","diff_ids":[)";
  for (int i = 0; i < 501; ++i) many += (i ? ",\"" : "\"") + digest_a + "\"";
  EXPECT_FALSE(parse_image_config(many + "]}}"));
}

TEST(Manifest, RoundTripsAndRefusesAmbiguity) {
  std::string layer = R"({"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":")" + digest_b +
                      R"(","size":5})";
  std::string config = R"("config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":")" +
                       digest_a + R"(","size":2})";
  auto manifest = parse_manifest(R"({"schemaVersion":2,)" + config + R"(,"layers":[)" + layer + "]}");
  ASSERT_TRUE(manifest) << manifest.error().message();
  EXPECT_EQ(manifest->layers.size(), 1u);
  auto again = parse_manifest(serialise(*manifest));
  ASSERT_TRUE(again);
  EXPECT_EQ(serialise(*again), serialise(*manifest));

  EXPECT_FALSE(parse_manifest(R"({"schemaVersion":2,)" + config + R"(,"layers":[],"manifests":[]})"));
  EXPECT_FALSE(parse_manifest(R"({"schemaVersion":1,)" + config + "}"));
  EXPECT_FALSE(parse_manifest(R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json",)" +
                              config + "}"));
  EXPECT_FALSE(parse_manifest(R"({"schemaVersion":2,"layers":[]})"));
  EXPECT_FALSE(parse_index(R"({"schemaVersion":2,"manifests":[],"layers":[]})"));
  EXPECT_FALSE(parse_index(R"({"schemaVersion":2,"manifests":[{"digest":"sha256:zz","size":1}]})"));
  EXPECT_FALSE(
      parse_index(R"({"schemaVersion":2,"manifests":[{"digest":")" + digest_a + R"(","size":-1}]})"));
  EXPECT_TRUE(parse_index(R"({"schemaVersion":2,"manifests":[]})"));
}

TEST(ArchiveManifest, RoundTrips) {
  auto entries = parse_archive_manifest(R"([{"Config":"c.json","RepoTags":null,"Layers":["a/layer.tar"]}])");
  ASSERT_TRUE(entries);
  EXPECT_EQ(serialise(*entries), R"([{"Config":"c.json","Layers":["a/layer.tar"],"RepoTags":null}])");
  EXPECT_FALSE(parse_archive_manifest(R"({"Config":"x"})"));
  EXPECT_FALSE(parse_archive_manifest(R"([{"Layers":[]}])"));
  EXPECT_FALSE(parse_archive_manifest(R"([7])"));
}

TEST(ChainId, FollowsTheSpecification) {
  Digest a = *Digest::parse(digest_a);
  Digest b = *Digest::parse(digest_b);
  auto chains = chain_ids({a, b});
  ASSERT_EQ(chains.size(), 2u);
  EXPECT_EQ(chains[0], a);
  EXPECT_EQ(chains[1], sha256(digest_a + " " + digest_b));
}

TEST(Platform, ParsesAndMatches) {
  EXPECT_EQ(Platform::parse("linux/arm64/v8")->str(), "linux/arm64/v8");
  EXPECT_EQ(Platform::parse("linux/x86_64")->architecture, "amd64");
  EXPECT_EQ(Platform::parse("Linux")->str(), Platform::host().str());
  EXPECT_EQ(Platform::parse("arm64")->str(), "linux/arm64");
  EXPECT_EQ(Platform::parse("linux/sparc64")->architecture, "sparc64");
  for (const char* wrong : {"", " ", "/", "linux/", "nintendo64", "a/b/c/d", "linux/amd 64"})
    EXPECT_FALSE(Platform::parse(wrong)) << wrong;
  EXPECT_FALSE(Platform::parse("a/b/../c"));
  EXPECT_TRUE(matches(*Platform::parse("linux/arm64"), *Platform::parse("linux/arm64/v8")));
  EXPECT_FALSE(matches(*Platform::parse("linux/arm/v6"), *Platform::parse("linux/arm/v7")));
  EXPECT_FALSE(matches(*Platform::parse("linux/amd64"), *Platform::parse("linux/arm64")));
}

}  // namespace
}  // namespace berth::spec
