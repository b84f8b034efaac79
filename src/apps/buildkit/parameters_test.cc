#include "apps/buildkit/parameters.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "apps/buildkit/build_events.h"
#include "apps/buildkit/file_modes.h"
#include "apps/buildkit/platform_archive.h"

namespace berth::buildkit {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

TEST(Parameters, OfAPlainBuild) {
  auto parameters = parse_attributes({{"filename", "sub.Dockerfile"},
                                      {"target", "app"},
                                      {"build-arg:A", "1"},
                                      {"build-arg:B", ""},
                                      {"label:x", "y"},
                                      {"no-cache", ""},
                                      {"image-resolve-mode", "pull"},
                                      {"add-hosts", "a=1.2.3.4,b=::1"},
                                      {"ulimit", "nofile=10:20,nproc=5"},
                                      {"force-network-mode", "none"},
                                      {"shm-size", "1024"},
                                      {"local-sessionid:context", "whatever"}});
  ASSERT_TRUE(parameters) << parameters.error().message();
  EXPECT_EQ(parameters->dockerfile, "sub.Dockerfile");
  EXPECT_EQ(parameters->context_directory, "context");
  EXPECT_THAT(
      parameters->query,
      testing::UnorderedElementsAre(
          Pair("dockerfile", "sub.Dockerfile"), Pair("target", "app"),
          Pair("buildargs", R"({"A":"1","B":""})"), Pair("labels", R"({"x":"y"})"), Pair("nocache", "1"),
          Pair("pull", "1"), Pair("extrahosts", "a:1.2.3.4"), Pair("extrahosts", "b:::1"),
          Pair("networkmode", "none"), Pair("shmsize", "1024"),
          Pair("ulimits", R"([{"Hard":20,"Name":"nofile","Soft":10},{"Hard":5,"Name":"nproc","Soft":5}])")));
}

TEST(Parameters, OfContextsThatAreElsewhere) {
  EXPECT_EQ(parse_attributes({{"context", "https://example.org/a.tar"}})->remote,
            "https://example.org/a.tar");
  EXPECT_EQ(parse_attributes({{"context", "http://buildkit-session/abc"}})->upload, "/abc");
  EXPECT_EQ(parse_attributes({{"context", "local:other"}})->context_directory, "other");
  auto named = parse_attributes({{"context:a::linux/amd64", "docker-image://b:1"}, {"context:c", "local:d"}});
  EXPECT_THAT(named->named_images, ElementsAre(Pair("a", "b:1")));
  EXPECT_THAT(named->named_directories, ElementsAre(Pair("c", "d")));
  auto shared = parse_attributes({{"contextkey", "c1"}, {"dockerfilekey", "d1"}});
  EXPECT_EQ(shared->context_directory, "c1");
  EXPECT_EQ(shared->dockerfile_directory, "d1");
}

TEST(Parameters, ThatChangeTheResultAndAreNotSupportedAreNamed) {
  for (const Attributes& attributes : {Attributes{{"context:base", "https://x/y.git"}},
                                       {{"input:a", "b"}},
                                       {{"requestid", "frontend.other"}},
                                       {{"attest:sbom", "generator=x"}}}) {
    auto parameters = parse_attributes(attributes);
    ASSERT_FALSE(parameters);
    EXPECT_EQ(parameters.error().kind(), Kind::Unsupported);
  }
  for (const char* limit :
       {"nofile", "nofile=", "nofile=x", "nofile=1:", "nofile=1:2:3", "=1:99999999999999999999"})
    EXPECT_FALSE(parse_attributes({{"ulimit", limit}})) << limit;
}

TEST(Dockerfile, SecretsThatItsStepsMount) {
  EXPECT_THAT(
      needs_of("FROM a\n"
               "RUN --mount=type=secret,id=one --mount=type=cache,id=no,target=/c cat /run/secrets/one\n"
               "# RUN --mount=type=secret,id=comment\n"
               "RUN --mount=type=secret,target=/etc/two \\\n"
               "    --mount=id=three,type=secret,required=true true\n"
               "RUN <<EOF\nRUN --mount=type=secret,id=document true\nEOF\n"
               "RUN --mount=\"type=secret\",id=four true")
          .secrets,
      ElementsAre("four", "one", "three", "two"));
  for (const char* text :
       {"", "RUN --mount=\n", "FROM a\nRUN --mount=,,,= x", "--mount=type=secret", "FRUM x"})
    EXPECT_TRUE(needs_of(text).secrets.empty()) << text;
}

TEST(Dockerfile, RegistriesThatItNames) {
  auto needs = needs_of(
      "FROM --platform=x busybox AS a\nfrom registry.example:5000/x/y:1\nFROM $BASE\nFROM scratch\n"
      "COPY --from=ghcr.io/z/w /a /b\n");
  EXPECT_THAT(needs.registries, ElementsAre("docker.io", "ghcr.io", "registry.example:5000"));
  EXPECT_TRUE(needs.several_stages);
  EXPECT_FALSE(needs_of("FROM a\n").several_stages);
}

TEST(Failures, AreWordedAsBuildKitDoes) {
  EXPECT_EQ(failure_words("The command '/bin/sh -c exit 3' returned a non-zero code: 3"),
            "process \"/bin/sh -c exit 3\" did not complete successfully: exit code: 3");
  EXPECT_EQ(failure_words("no such image"), "no such image");
}

TEST(Modes, GoThereAndBack) {
  EXPECT_EQ(to_go_mode(S_IFDIR | 01755), go_mode::dir | go_mode::sticky | 0755u);
  EXPECT_EQ(to_go_mode(S_IFREG | 06711), go_mode::setuid | go_mode::setgid | 0711u);
  EXPECT_EQ(permissions_of(go_mode::setuid | 0711u), mode_t{04711});
  EXPECT_TRUE(is_regular(0644));
  EXPECT_FALSE(is_regular(go_mode::symlink | 0777));
}

TEST(Parameters, WhereCachesAre) {
  auto parameters = parse_attributes(
      {{"cache-from", "r/a,r/b"},
       {"cache-imports", R"([{"Type":"registry","Attrs":{"ref":"r/b"}},{"Type":"gha","Attrs":{}}])"}});
  ASSERT_TRUE(parameters) << parameters.error().message();
  auto places = cache_places(parameters->cache_imports,
                             {{.type = "registry", .attributes = {{"ref", "r/c:1"}, {"mode", "max"}}},
                              {.type = "registry", .attributes = {{"ref", "r/d"}}},
                              {.type = "inline"}});
  ASSERT_TRUE(places) << places.error().message();
  using Source = CachePlaces::Source;
  using Target = CachePlaces::Target;
  EXPECT_THAT(places->from, ElementsAre(Source{.reference = "r/a"}, Source{.reference = "r/b"}));
  EXPECT_THAT(places->to, ElementsAre(Target{.reference = "r/c:1", .mode = "max"},
                                      Target{.reference = "r/d", .mode = "min"}));
  EXPECT_THAT(places->notes, ElementsAre(HasSubstr("type=gha")));
  EXPECT_TRUE(places->inline_cache);
  auto local = cache_places({{.type = "local", .attributes = {{"src", "/y"}, {"digest", "d"}}}},
                            {{.type = "local", .attributes = {{"dest", "/x"}}}});
  ASSERT_TRUE(local);
  EXPECT_FALSE(local->inline_cache);
  EXPECT_THAT(local->from, ElementsAre(Source{.directory = "local:/y", .digest = "d"}));
  EXPECT_THAT(local->to, ElementsAre(Target{.directory = "local:/x", .mode = "min"}));
  for (const char* type : {"gha", "s3", "azblob"}) {
    auto refused = cache_places({}, {{.type = type}});
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().message(), HasSubstr(type));
  }
  EXPECT_FALSE(cache_places({}, {{.type = "local"}}));
  EXPECT_FALSE(cache_places({}, {{.type = "registry"}}));
  EXPECT_FALSE(parse_attributes({{"cache-imports", "{"}}));
  EXPECT_FALSE(parse_attributes({{"cache-imports", "{}"}}));
}

TEST(Parameters, PlatformsAreTakenApartOnce) {
  auto parameters = parse_attributes({{"platform", "linux/amd64,linux/arm64,linux/amd64"}});
  ASSERT_TRUE(parameters) << parameters.error().message();
  EXPECT_THAT(parameters->platforms, ElementsAre("linux/amd64", "linux/arm64"));
  EXPECT_TRUE(parameters->several);
  EXPECT_FALSE(parse_attributes({{"platform", "linux/amd64"}})->several);
  EXPECT_TRUE(parse_attributes({{"platform", "linux/amd64"}, {"multi-platform", "true"}})->several);
  // A system alone means this machine's architecture.
  EXPECT_TRUE(parse_attributes({{"platform", "linux"}}));
  EXPECT_FALSE(parse_attributes({{"platform", "linux/amd64,nonsense"}}));
}

TEST(Parameters, Provenance) {
  const auto of = [](const char* text) { return parse_attributes({{"attest:provenance", text}}); };
  EXPECT_FALSE(parse_attributes({})->provenance.wanted);
  EXPECT_FALSE(of("type=provenance,disabled=true")->provenance.wanted);
  EXPECT_TRUE(of("mode=min,inline-only=true")->provenance.by_default);
  const auto whole = of("type=provenance,mode=max,builder-id=https://b");
  EXPECT_TRUE(whole->provenance.wanted && whole->provenance.max && !whole->provenance.by_default);
  EXPECT_EQ(whole->provenance.builder, "https://b");
  EXPECT_FALSE(of("mode=most"));
  EXPECT_FALSE(of("version=v1"));
  EXPECT_FALSE(parse_attributes({{"attest:sbom", ""}}));
  EXPECT_TRUE(parse_attributes({{"attest:sbom", "disabled=true"}}));
}

TEST(PlatformArchive, DirectoriesOfPlatforms) {
  EXPECT_EQ(platform_directory("linux/arm/v7"), "linux_arm_v7");
}

}  // namespace
}  // namespace berth::buildkit
