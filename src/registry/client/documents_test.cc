// Tests of what reads registries' words: URLs, challenges, tokens, errors, credentials, platform selection.
#include <gtest/gtest.h>

#include "base/bytes.h"
#include "base/sha256.h"
#include "registry/client/challenge.h"
#include "registry/client/credentials.h"
#include "registry/client/manifest_choice.h"
#include "registry/client/url.h"

namespace berth::registry {
namespace {

TEST(Url, TakesApartAndRefusesWhatIsAmbiguous) {
  auto url = Url::parse("https://Reg.Example:5000/v2/?x=1#frag").value();
  EXPECT_EQ(url.host, "reg.example");
  EXPECT_EQ(url.port, 5000);
  EXPECT_EQ(url.target, "/v2/?x=1");
  EXPECT_EQ(Url::parse("http://[::1]:80/a")->authority(), "[::1]");
  EXPECT_EQ(Url::parse("https://a?x")->target, "/?x");
  for (const char* bad :
       {"ftp://a/", "https://user@evil/", "https://good\\@evil/", "https:///x", "https://a:0/",
        "https://a:99999/", "https://a b/", "https://[::1/", "javascript:1", "https://a\r\nX: y/"}) {
    EXPECT_FALSE(Url::parse(bad)) << bad;
  }
}

TEST(Url, ResolvesLocations) {
  auto base = Url::parse("https://r.example/v2/x/blobs/uploads/?a=b").value();
  EXPECT_EQ(base.resolve("/v2/y?state=1")->str(), "https://r.example/v2/y?state=1");
  EXPECT_EQ(base.resolve("abc?s=1")->str(), "https://r.example/v2/x/blobs/uploads/abc?s=1");
  EXPECT_EQ(base.resolve("//other/z")->str(), "https://other/z");
  EXPECT_EQ(base.resolve("http://other/z?u=http://q")->str(), "http://other/z?u=http://q");
  EXPECT_EQ(base.resolve("/p?u=http://q")->host, "r.example");
  EXPECT_FALSE(base.resolve("https://user:secret@other/"));
}

TEST(Challenge, ReadsWhatServersWrite) {
  auto one = parse_challenges(
      R"(Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:x:pull,push")");
  ASSERT_EQ(one.size(), 1U);
  EXPECT_EQ(one[0].scheme, "bearer");
  EXPECT_EQ(one[0].parameter("realm"), "https://auth.docker.io/token");
  EXPECT_EQ(one[0].parameter("scope"), "repository:x:pull,push");
  auto two = parse_challenges(R"(Basic realm="a \"quoted\" one", Bearer realm=https://b/t ,service=s)");
  ASSERT_EQ(two.size(), 2U);
  EXPECT_EQ(two[0].parameter("realm"), "a \"quoted\" one");
  EXPECT_EQ(two[1].parameter("service"), "s");
  EXPECT_EQ(parse_challenges("Negotiate").size(), 1U);
  EXPECT_TRUE(parse_challenges("").empty());
  EXPECT_TRUE(parse_challenges(std::string(100000, 'a')).empty());
  (void)parse_challenges("Bearer realm=\"unclosed");
  (void)parse_challenges("=,==\"");
}

TEST(Token, TakesBothNamesAndNoHeaderInjection) {
  EXPECT_EQ(parse_token(R"({"token":"t","expires_in":300})")->lifetime.count(), 300);
  EXPECT_EQ(parse_token(R"({"access_token":"t","expires_in":1,"refresh_token":"r"})")->lifetime.count(), 60);
  EXPECT_EQ(parse_token(R"({"access_token":"t","refresh_token":"r"})")->refresh_token, "r");
  for (const char* bad :
       {"{}", R"({"token":""})", R"({"token":"a\r\nHost: evil"})", R"({"token":1})", "[]", "x"}) {
    EXPECT_FALSE(parse_token(bad)) << bad;
  }
}

TEST(RegistryError, SpeaksAsDockerDoes) {
  EXPECT_EQ(parse_registry_error(
                404, R"({"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]})", "")
                .str(),
            "manifest unknown: manifest unknown");
  EXPECT_EQ(parse_registry_error(401, R"({"details":"incorrect username or password"})", "").str(),
            "unauthorized: incorrect username or password");
  EXPECT_EQ(parse_registry_error(401, "", R"(Bearer realm="x",error="insufficient_scope")").str(),
            "denied: requested access to the resource is denied");
  EXPECT_EQ(parse_registry_error(401, "<html>", "").str(), "unauthorized: authentication required");
  EXPECT_EQ(parse_registry_error(401, R"({"error":"unauthorized"})", "").str(),
            "unauthorized: authentication required");
  EXPECT_EQ(parse_registry_error(403, "no way", "").str(),
            "denied: error parsing HTTP 403 response body: it is no JSON: \"no way\"");
  EXPECT_EQ(parse_registry_error(403, "", "").str(), "denied: requested access to the resource is denied");
  EXPECT_EQ(parse_registry_error(418, "", "").str(), "received unexpected HTTP status: 418");
  auto escape = parse_registry_error(400, R"({"errors":[{"code":"DENIED","message":"a\u001b[2Jb\nc"}]})", "");
  EXPECT_EQ(escape.message, "a [2Jb c");
}

TEST(Credentials, OfHeadersAndConfigurations) {
  auto header = credentials_of_header(to_base64(R"({"username":"u","password":"p","serveraddress":"s"})"));
  EXPECT_EQ(header.user, "u");
  EXPECT_EQ(header.secret, "p");
  EXPECT_TRUE(credentials_of_header("%%%").empty());
  EXPECT_TRUE(credentials_of_header("e30=").empty());
  auto packed = parse_credentials(R"({"auth":")" + to_base64("u:p:q") + R"("})").value();
  EXPECT_EQ(packed.secret, "p:q");
  EXPECT_FALSE(parse_credentials(R"({"registrytoken":"a\r\nb"})"));
  const char* config = R"({"https://index.docker.io/v1/":{"username":"hub"},"reg:5000":{"username":"r"}})";
  EXPECT_EQ(credentials_from_config(config, "docker.io").user, "hub");
  EXPECT_EQ(credentials_from_config(config, "reg:5000").user, "r");
  EXPECT_TRUE(credentials_from_config(config, "reg").empty());
  EXPECT_TRUE(credentials_from_config(config, "evil-reg:5000").empty());
}

spec::Descriptor manifest_for(const std::string& platform) {
  spec::Descriptor descriptor{.media_type = std::string(spec::media_type::oci_manifest),
                              .digest = sha256(platform)};
  if (!platform.empty()) descriptor.platform = spec::Platform::parse(platform).value();
  return descriptor;
}

TEST(ManifestChoice, PrefersTheExactVariantAndPassesOverAttestations) {
  spec::Index index;
  for (const char* platform : {"linux/amd64/v3", "linux/amd64", "linux/arm/v7", "unknown/unknown"})
    index.manifests.push_back(manifest_for(platform));
  auto choose = [&](const char* platform) {
    return choose_manifest(index, spec::Platform::parse(platform).value());
  };
  EXPECT_EQ(choose("linux/amd64")->digest, sha256("linux/amd64"));
  EXPECT_EQ(choose("linux/amd64/v3")->digest, sha256("linux/amd64/v3"));
  EXPECT_EQ(choose("linux/arm64").error().message(),
            "no matching manifest for linux/arm64 in the manifest list entries: linux/amd64/v3, linux/amd64, "
            "linux/arm/v7");
  EXPECT_FALSE(choose("unknown/unknown"));
  index.manifests = {manifest_for("")};
  EXPECT_TRUE(choose("linux/arm64")) << "an image that does not say what it runs on";
}

}  // namespace
}  // namespace berth::registry
