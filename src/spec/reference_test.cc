// Reference grammar against the cases of docker's own documentation and tests, restated.
#include "spec/reference.h"

#include <gtest/gtest.h>

#include "base/sha256.h"

namespace berth::spec {
namespace {

std::string canonical(std::string_view text) {
  auto reference = Reference::parse(text);
  return reference ? reference->str() : "error: " + reference.error().message();
}
std::string familiar(std::string_view text) {
  auto reference = Reference::parse(text);
  return reference ? reference->familiar_string() : "error";
}

TEST(Reference, ExpandsShortNames) {
  EXPECT_EQ(canonical("busybox"), "docker.io/library/busybox");
  EXPECT_EQ(canonical("busybox:1.36"), "docker.io/library/busybox:1.36");
  EXPECT_EQ(canonical("org/app"), "docker.io/org/app");
  EXPECT_EQ(canonical("docker.io/busybox"), "docker.io/library/busybox");
  EXPECT_EQ(canonical("index.docker.io/busybox"), "docker.io/library/busybox");
  EXPECT_EQ(canonical("localhost/app"), "localhost/app");
  EXPECT_EQ(canonical("localhost:5000/app:x"), "localhost:5000/app:x");
  EXPECT_EQ(canonical("[::1]:5000/app"), "[::1]:5000/app");
  EXPECT_EQ(canonical("Registry/app"), "Registry/app");
  EXPECT_EQ(canonical("ghcr.io/a/b__c/d--e.f:T_1.2-3"), "ghcr.io/a/b__c/d--e.f:T_1.2-3");
}

TEST(Reference, KeepsDigestAndTag) {
  std::string digest = sha256("x").str();
  EXPECT_EQ(canonical("a:1@" + digest), "docker.io/library/a:1@" + digest);
  EXPECT_EQ(familiar("docker.io/library/a@" + digest), "a@" + digest);
  EXPECT_FALSE(Reference::parse("a@sha256:12"));
  EXPECT_FALSE(Reference::parse("a@sha256:../../x"));
}

TEST(Reference, ShortensToFamiliarForm) {
  EXPECT_EQ(familiar("docker.io/library/busybox:latest"), "busybox:latest");
  EXPECT_EQ(familiar("docker.io/org/app"), "org/app");
  EXPECT_EQ(familiar("docker.io/library/a/b"), "library/a/b");
  EXPECT_EQ(familiar("quay.io/x"), "quay.io/x");
}

TEST(Reference, RefusesWhatDockerRefuses) {
  for (std::string_view bad : {"",
                               "/",
                               ":tag",
                               "a:",
                               "a//b",
                               "-a",
                               "a-",
                               "a_",
                               "a___b",
                               "a..b",
                               "a b",
                               "a:b:c",
                               "https://x/y",
                               "a/../b",
                               "host:port/x",
                               "host:/x",
                               "[::1/x",
                               "[zz]/x",
                               "a@",
                               "a\nb",
                               "ex_ample.com:1/x"}) {
    EXPECT_FALSE(Reference::parse(bad)) << bad;
  }
  EXPECT_EQ(canonical("Busybox"),
            "error: invalid reference format: repository name (Busybox) must be lowercase");
  EXPECT_EQ(canonical("a:" + std::string(129, 'x')), "error: invalid reference format");
  EXPECT_EQ(canonical(std::string(256, 'x')), "error: repository name must not be more than 255 characters");
  EXPECT_TRUE(canonical(std::string(64, 'a')).ends_with("cannot specify 64-byte hexadecimal strings"));
}

TEST(Reference, DefaultTag) {
  EXPECT_EQ(Reference::parse("a")->with_default_tag().familiar_string(), "a:latest");
  EXPECT_EQ(Reference::parse("a:b")->with_default_tag().familiar_string(), "a:b");
  EXPECT_EQ(Reference::parse("a:b")->without_tag_and_digest().familiar_string(), "a");
}

}  // namespace
}  // namespace berth::spec
