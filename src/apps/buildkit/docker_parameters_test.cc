#include "apps/buildkit/docker_parameters.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"

namespace berth::buildkit {
namespace {

using testing::HasSubstr;
using testing::Pair;
using testing::UnorderedElementsAre;

Result<DockerBuild> parse(const char* query) {
  return parse_docker_build(*parse_json(query));
}

TEST(DockerParameters, OfABuildBySession) {
  auto build = parse(R"({"remote": ["client-session"], "buildid": ["b"], "session": ["s"],
      "dockerfile": ["Dockerfile"], "target": ["app"], "t": ["a:1", "", "b"], "nocache": ["1"], "pull": ["1"],
      "buildargs": ["{\"A\":\"1\",\"B\":null}"], "labels": ["{\"l\":\"v\"}"], "cachefrom": ["[\"x\",\"y\"]"],
      "extrahosts": ["a:1.2.3.4", "b:::1"], "networkmode": ["host"], "shmsize": ["64"], "q": ["1"],
      "ulimits": ["[{\"Name\":\"nofile\",\"Soft\":1,\"Hard\":2}]"], "memory": ["0"], "version": ["2"]})");
  ASSERT_TRUE(build) << build.error().message();
  EXPECT_EQ(build->session, "s");
  EXPECT_EQ(build->build_id, "b");
  EXPECT_EQ(build->context, DockerBuild::Context::Other);
  EXPECT_TRUE(build->quiet);
  EXPECT_EQ(build->exporter.type, "moby");
  EXPECT_THAT(build->exporter.attributes, UnorderedElementsAre(Pair("name", "a:1,b")));
  EXPECT_THAT(build->attributes,
              UnorderedElementsAre(Pair("filename", "Dockerfile"), Pair("target", "app"),
                                   Pair("no-cache", ""), Pair("image-resolve-mode", "pull"),
                                   Pair("build-arg:A", "1"), Pair("label:l", "v"), Pair("cache-from", "x,y"),
                                   Pair("add-hosts", "a=1.2.3.4,b=::1"), Pair("force-network-mode", "host"),
                                   Pair("shm-size", "64"), Pair("ulimit", "nofile=1:2")));
}

TEST(DockerParameters, WhereTheContextIs) {
  EXPECT_EQ(parse("{}")->context, DockerBuild::Context::Body);
  EXPECT_EQ(parse(R"({"remote": ["upload-request"], "buildid": ["x"]})")->context,
            DockerBuild::Context::Upload);
  auto url = parse(R"({"remote": ["https://git.example.org/a.git"]})");
  EXPECT_EQ(url->context, DockerBuild::Context::Other);
  EXPECT_EQ(url->attributes.at("context"), "https://git.example.org/a.git");
  auto upload = parse(R"({"buildid": ["upload-request:x"]})");
  EXPECT_TRUE(upload->is_upload);
  EXPECT_EQ(upload->build_id, "x");
}

TEST(DockerParameters, OneOutput) {
  auto build = parse(R"({"outputs": ["[{\"Type\":\"local\",\"Attrs\":{\"a\":\"b\"}}]"], "t": ["x"]})");
  ASSERT_TRUE(build);
  EXPECT_EQ(build->exporter.type, "local");
  EXPECT_THAT(build->exporter.attributes, UnorderedElementsAre(Pair("a", "b")));
}

TEST(DockerParameters, WhatIsWrongIsNamed) {
  auto message = [](const char* query) {
    auto build = parse(query);
    return build ? std::string("accepted") : build.error().message();
  };
  EXPECT_THAT(message(R"({"networkmode": ["bridge"]})"), HasSubstr("network mode \"bridge\" not supported"));
  EXPECT_THAT(message(R"({"buildargs": ["[1]"]})"), HasSubstr("buildargs"));
  EXPECT_THAT(message(R"({"labels": ["{\"a\":1}"]})"), HasSubstr("labels"));
  EXPECT_THAT(message(R"({"cachefrom": ["{"]})"), HasSubstr("cachefrom"));
  EXPECT_THAT(message(R"({"cachefrom": ["[3]"]})"), HasSubstr("cachefrom"));
  EXPECT_THAT(message(R"({"ulimits": ["3"]})"), HasSubstr("ulimits"));
  EXPECT_THAT(message(R"({"outputs": ["[{},{}]"]})"), HasSubstr("multiple outputs"));
}

}  // namespace
}  // namespace berth::buildkit
