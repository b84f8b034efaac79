#include "spec/build_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/sha256.h"

namespace berth::spec {
namespace {

using testing::HasSubstr;

Descriptor blob(const std::string& name) {
  return {.media_type = std::string(media_type::oci_layer_gzip), .digest = sha256(name), .size = 7};
}

BuildCache sample() {
  BuildCache cache;
  cache.layers = {{.blob = blob("a"), .diff_id = sha256("plain a")},
                  {.blob = blob("b"), .diff_id = sha256("plain b"), .parent = 0},
                  {.blob = blob("c"), .diff_id = sha256("plain c"), .parent = 0}};
  cache.records = {{.key = sha256("key"),
                    .layer = 2,
                    .made_layer = true,
                    .created = from_unix_nanoseconds(1'700'000'000'123'456'789),
                    .description = "RUN true",
                    .size = 42},
                   {.key = sha256("empty")}};
  return cache;
}

const std::vector<Descriptor> blobs = {blob("a"), blob("b"), blob("c")};

std::string refusal(const std::string& text) {
  auto parsed = parse_build_cache(text, blobs);
  return parsed ? "accepted" : parsed.error().message();
}

std::string layer(const std::string& name, const std::string& more) {
  return R"({"blob":")" + sha256(name).str() + R"(","annotations":{"diffID":")" + sha256("d").str() + "\"}" +
         more + "}";
}

std::string record(const std::string& more) {
  return R"({"layers":[)" + layer("a", "") + R"(],"records":[{"digest":")" + sha256("k").str() +
         R"(","berth":{"createdAt":"2026-01-01T00:00:00Z"},)" + more + "}]}";
}

TEST(BuildCache, ComesBackAsItWasWritten) {
  auto parsed = parse_build_cache(serialise(sample()), blobs);
  ASSERT_TRUE(parsed) << parsed.error().message();
  ASSERT_EQ(parsed->layers.size(), 3u);
  EXPECT_EQ(parsed->layers[2].parent, 0u);
  EXPECT_EQ(parsed->layers[2].blob.size, 7);
  ASSERT_EQ(parsed->records.size(), 2u);
  EXPECT_EQ(parsed->records[0].key, sha256("key"));
  EXPECT_EQ(parsed->records[0].created, sample().records[0].created);
  EXPECT_EQ(parsed->records[0].size, 42u);
  EXPECT_TRUE(parsed->records[0].made_layer);
  EXPECT_FALSE(parsed->records[1].layer);
  auto chain = parsed->chain(2);
  ASSERT_EQ(chain.size(), 2u);
  EXPECT_EQ(chain[0]->diff_id, sha256("plain a"));
  EXPECT_EQ(chain[1]->diff_id, sha256("plain c"));
}

TEST(BuildCache, RecordsOfOthersArePassedOver) {
  auto parsed =
      parse_build_cache(R"({"layers":[],"records":[{"digest":"sha256:x","inputs":[[{"link":0}]]}]})", {});
  ASSERT_TRUE(parsed) << parsed.error().message();
  EXPECT_TRUE(parsed->records.empty());
}

TEST(BuildCache, WhatDoesNotHoldTogetherIsRefused) {
  EXPECT_THAT(refusal("[]"), HasSubstr("no JSON object"));
  EXPECT_THAT(refusal(R"({"layers":{}})"), HasSubstr("no list"));
  EXPECT_THAT(refusal(R"({"layers":[1]})"), HasSubstr("no object"));
  EXPECT_THAT(refusal(R"({"layers":[)" + layer("unknown", "") + "]}"),
              HasSubstr("its manifest has no layer"));
  // A layer that is its own parent, and one that comes later, would be chains without end.
  EXPECT_THAT(refusal(R"({"layers":[)" + layer("a", R"(,"parent":0)") + "]}"), HasSubstr("no earlier layer"));
  EXPECT_THAT(refusal(R"({"layers":[)" + layer("a", R"(,"parent":1)") + "," + layer("b", "") + "]}"),
              HasSubstr("no earlier layer"));
  EXPECT_THAT(refusal(R"({"layers":[)" + layer("a", R"(,"parent":-7)") + "]}"),
              HasSubstr("no earlier layer"));
  EXPECT_THAT(refusal(R"({"layers":[{"blob":")" + sha256("a").str() + "\"}]}"), HasSubstr("no diffID"));
  EXPECT_EQ(refusal(record(R"("layers":[{"layer":0}])")), "accepted");
  EXPECT_THAT(refusal(record(R"("layers":[{"layer":1}])")), HasSubstr("no earlier layer"));
  EXPECT_THAT(refusal(record(R"("layers":[{"layer":-1}])")), HasSubstr("leads to no layer"));
  EXPECT_THAT(refusal(record(R"("layers":[{"layer":0},{"layer":0}])")), HasSubstr("more than 1"));
  std::vector<Descriptor> others = {{.media_type = "text/plain", .digest = sha256("a"), .size = 1}};
  auto typed = parse_build_cache(R"({"layers":[)" + layer("a", "") + "]}", others);
  ASSERT_FALSE(typed);
  EXPECT_THAT(typed.error().message(), HasSubstr("no layer's type"));
}

TEST(BuildCache, IsBounded) {
  auto parsed = parse_build_cache(serialise(sample()), blobs, {.max_layers = 2});
  ASSERT_FALSE(parsed);
  EXPECT_THAT(parsed.error().message(), HasSubstr("more than 2 layers"));
  EXPECT_FALSE(parse_build_cache(serialise(sample()), blobs, {.max_records = 1}));
}

}  // namespace
}  // namespace berth::spec
