#include "spec/cache_manifest.h"

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "base/json.h"
#include "base/sha256.h"

namespace berth::spec {
namespace {

Descriptor layer(std::string_view content) {
  return {.media_type = std::string(media_type::oci_layer_gzip), .digest = sha256(content), .size = 7};
}

ImageConfig image_of(const std::vector<Digest>& diff_ids) {
  return {.platform = {.architecture = "amd64", .os = "linux"}, .diff_ids = diff_ids};
}

TEST(InlineCache, KeepsRecordsWithTheirPlaceInTheImage) {
  std::vector<Digest> diff_ids = {sha256("one"), sha256("two")};
  BuildCache cache;
  cache.records = {{.key = sha256("a"), .layer = 1, .made_layer = true, .description = "RUN a", .size = 5},
                   {.key = sha256("b")}};
  auto config = with_inline_cache(serialise(image_of(diff_ids)), cache);
  ASSERT_TRUE(config);
  std::vector<Descriptor> layers = {layer("1"), layer("2")};
  auto read = parse_inline_cache(*config, layers);
  ASSERT_TRUE(read && *read);
  ASSERT_EQ((*read)->records.size(), 2u);
  EXPECT_EQ((*read)->records[0].layer, 1u);
  EXPECT_TRUE((*read)->records[0].made_layer);
  EXPECT_FALSE((*read)->records[1].layer);
  auto chain = (*read)->chain(1);
  ASSERT_EQ(chain.size(), 2u);
  EXPECT_EQ(chain[0]->diff_id, diff_ids[0]);
  EXPECT_EQ(chain[1]->blob.digest, layers[1].digest);
  EXPECT_EQ(parse_image_config(*config)->diff_ids, diff_ids);
}

TEST(InlineCache, AnImageWithoutOneIsNoError) {
  auto read = parse_inline_cache(serialise(image_of({})), {});
  ASSERT_TRUE(read);
  EXPECT_FALSE(*read);
}

TEST(InlineCache, RefusesWhatDoesNotFit) {
  Json config = *parse_json(serialise(image_of({sha256("one")})));
  auto with = [&config](std::string_view records) {
    config[inline_cache_member] = to_base64(records);
    return to_json(config);
  };
  std::vector<Descriptor> one = {layer("1")};
  std::string far = R"([{"digest": ")" + sha256("k").str() +
                    R"(", "layers": [{"layer": 1}], "berth": {"createdAt": "2026-01-01T00:00:00Z"}}])";
  EXPECT_FALSE(parse_inline_cache(with(far), one));
  EXPECT_FALSE(parse_inline_cache(with("{}"), one));
  EXPECT_FALSE(parse_inline_cache(with("[1]"), one));
  EXPECT_FALSE(parse_inline_cache(with("["), one));
  EXPECT_FALSE(parse_inline_cache(with("[]"), {}));
  config[inline_cache_member] = "%%";
  EXPECT_FALSE(parse_inline_cache(to_json(config), one));
  config[inline_cache_member] = 1;
  EXPECT_FALSE(parse_inline_cache(to_json(config), one));
  EXPECT_TRUE(parse_inline_cache(with("[]"), one));
}

TEST(CacheManifest, IsACacheOrAnImage) {
  Manifest manifest{.config = layer("config"), .layers = {layer("1")}};
  EXPECT_FALSE(parse_cache_manifest(serialise(manifest), "x"));
  manifest.config.media_type = media_type::oci_config;
  EXPECT_TRUE(parse_cache_manifest(serialise(manifest), "x"));
  manifest.config.media_type = media_type::build_cache_config;
  auto read = parse_cache_manifest(serialise(manifest), "x");
  ASSERT_TRUE(read);
  EXPECT_EQ(read->blobs.size(), 1u);
  Index index{.manifests = {layer("1")}};
  EXPECT_FALSE(parse_cache_manifest(serialise(index), "x"));
  index.manifests.push_back(manifest.config);
  EXPECT_TRUE(parse_cache_manifest(serialise(index), "x"));
  EXPECT_FALSE(parse_cache_manifest("[]", "x"));
  EXPECT_FALSE(parse_cache_manifest("{", "x"));
}

}  // namespace
}  // namespace berth::spec
