// Policies and claims: what is understood, and what is refused.
#include "registry/client/signature_policy.h"

#include <gtest/gtest.h>

#include "base/format.h"
#include "base/sha256.h"
#include "registry/client/signature.h"

namespace berth::registry {
namespace {

const SignatureRule& rule(const SignaturePolicy& policy, const char* image) {
  return rule_for(policy, *spec::Reference::parse(image));
}

TEST(SignaturePolicy, TheFirstRuleThatFitsDecides) {
  auto policy = parse_signature_policy(
      R"({"default": "reject", "rules": [
          {"images": "reg.lan/a/*/c", "require": "signed", "keys": ["k.pub", "/x/y.pub"], "identity": "busybox"},
          {"images": "reg.lan/*", "require": "accept"},
          {"images": "docker.io/library/busybox", "require": "accept"}]})",
      "/etc/berth");
  ASSERT_TRUE(policy) << policy.error().message();
  const SignatureRule& is_signed = rule(*policy, "reg.lan/a/b/b/c:1");
  EXPECT_EQ(is_signed.require, SignatureRule::Require::Signed);
  EXPECT_EQ(is_signed.keys, (std::vector<std::string>{"/etc/berth/k.pub", "/x/y.pub"}));
  EXPECT_EQ(is_signed.identity, "docker.io/library/busybox");
  EXPECT_EQ(rule(*policy, "reg.lan/a/c").require, SignatureRule::Require::Accept);
  EXPECT_EQ(rule(*policy, "busybox:1").require, SignatureRule::Require::Accept);
  EXPECT_EQ(rule(*policy, "busybox2").require, SignatureRule::Require::Reject);
  EXPECT_EQ(rule(*policy, "reg.lan.evil/x").require, SignatureRule::Require::Reject);
}

TEST(SignaturePolicy, WhatIsNotUnderstoodIsRefused) {
  for (const char* text :
       {"", "{}", "[]", "null", R"({"default": "ACCEPT"})", R"({"default": "signed"})",
        R"({"default": "accept", "rule": []})", R"({"default": "accept", "rules": {}})",
        R"({"default": "accept", "rules": [1]})", R"({"default": "accept", "rules": [{"images": "*"}]})",
        R"({"default": "accept", "rules": [{"images": "*", "require": "signed"}]})",
        R"({"default": "accept", "rules": [{"images": "*", "require": "accept", "keys": ["a"]}]})",
        R"({"default": "accept", "rules": [{"images": "*", "require": "signed", "keys": "a"}]})",
        R"({"default": "accept", "rules": [{"images": "*", "require": "signed", "keys": [""]}]})"}) {
    EXPECT_FALSE(parse_signature_policy(text, "/")) << text;
  }
}

std::string claim(const std::string& reference, const std::string& digest) {
  return fmt::format(
      R"({{"critical":{{"identity":{{"docker-reference":"{}"}},"image":{{"docker-manifest-digest":"{}"}},)"
      R"("type":"cosign container image signature"}},"optional":null}})",
      reference, digest);
}

TEST(SignedClaim, FitsItsImageAlone) {
  std::string digest = sha256("x").str();
  auto fits = [&](const char* reference, const char* name, const char* tag) {
    auto parsed = parse_signed_claim(claim(reference, digest));
    return parsed && claim_fits(*parsed, name, tag);
  };
  EXPECT_TRUE(fits("reg.lan/app", "reg.lan/app", "1"));
  EXPECT_TRUE(fits("reg.lan/app:1", "reg.lan/app", "1"));
  EXPECT_TRUE(fits("reg.lan/app:1", "reg.lan/app", ""));
  EXPECT_FALSE(fits("reg.lan/app:2", "reg.lan/app", "1"));
  EXPECT_FALSE(fits("reg.lan/app2", "reg.lan/app", "1"));
  EXPECT_TRUE(fits("index.docker.io/library/app", "docker.io/library/app", "1"));
  EXPECT_TRUE(fits("app", "docker.io/library/app", "1"));
  EXPECT_FALSE(fits("NOT A NAME", "docker.io/library/app", "1"));
  EXPECT_TRUE(fits(("reg.lan/app@" + digest).c_str(), "reg.lan/app", ""));
  EXPECT_FALSE(fits(("reg.lan/app@" + sha256("y").str()).c_str(), "reg.lan/app", ""));
}

TEST(SignedClaim, MalformedOnesAreNone) {
  for (const std::string& text :
       {std::string(), std::string("{}"), std::string("[]"), claim("a", "sha256:x"),
        claim("", sha256("x").str()), std::string(R"({"critical":[]})"),
        std::string(1 << 20, ' ') + claim("a", sha256("x").str()),
        std::string(R"({"Critical":{"type":"cosign container image signature"}})")}) {
    EXPECT_FALSE(parse_signed_claim(text)) << text.substr(0, 100);
  }
}

TEST(PublicKeys, WhatIsNoKeyIsRefused) {
  for (const char* pem : {"", "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n", "ssh-rsa AAAA"})
    EXPECT_FALSE(PublicKey::parse(pem)) << pem;
}

}  // namespace
}  // namespace berth::registry
