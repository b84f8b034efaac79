// Signatures against AWS's published example, and what is refused.
#include "api/aws/sigv4.h"

#include <gtest/gtest.h>

namespace berth::api::aws {
namespace {

constexpr std::string_view empty_hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
constexpr int64_t signed_at = 1440938160;  // 2015-08-30T12:36:00Z

/// The "get-vanilla" request of AWS's signature test suite.
io::HttpRequestHead vanilla(std::string_view signature) {
  std::string text =
      "GET / HTTP/1.1\r\nHost: example.amazonaws.com\r\nX-Amz-Date: 20150830T123600Z\r\n"
      "Authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
      "SignedHeaders=host;x-amz-date, Signature=";
  text.append(signature).append("\r\n\r\n");
  return io::parse_request_head(text).value();
}

constexpr std::string_view right = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
const SigningKeys keys{{"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}};

TEST(SigV4, TheExampleOfTheSpecificationIsRight) {
  auto head = vanilla(right);
  auto signature = read_signature(head);
  ASSERT_TRUE(signature);
  EXPECT_EQ(signature->access_key, "AKIDEXAMPLE");
  EXPECT_EQ(signature->region, "us-east-1");
  EXPECT_EQ(signature->service, "service");
  auto verified = verify_signature(head, *signature, keys, {.sha256_hex = empty_hash}, signed_at);
  EXPECT_TRUE(verified) << verified.error().message();
}

TEST(SigV4, EveryDeviationIsRefused) {
  auto head = vanilla(right);
  auto signature = *read_signature(head);
  EXPECT_FALSE(verify_signature(head, signature, {}, {.sha256_hex = empty_hash}, signed_at));
  EXPECT_FALSE(
      verify_signature(head, signature, {{"AKIDEXAMPLE", "other"}}, {.sha256_hex = empty_hash}, signed_at));
  EXPECT_FALSE(verify_signature(head, signature, keys, {.sha256_hex = empty_hash}, signed_at + 901));
  EXPECT_FALSE(verify_signature(head, signature, keys, {.sha256_hex = empty_hash}, signed_at - 901));
  std::string other_body(64, '0');
  EXPECT_FALSE(verify_signature(head, signature, keys, {.sha256_hex = other_body}, signed_at));
  auto wrong = vanilla(std::string(64, 'a'));
  EXPECT_FALSE(verify_signature(wrong, *read_signature(wrong), keys, {.sha256_hex = empty_hash}, signed_at));
}

TEST(SigV4, OtherAuthorizationIsNoSignature) {
  for (std::string_view value :
       {"Bearer x", "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 Credential=a/b/c, Signature=", "AWS4-HMAC-SHA256 Credential=////, x"}) {
    std::string text = "GET / HTTP/1.1\r\nHost: h\r\nAuthorization: " + std::string(value) + "\r\n\r\n";
    EXPECT_FALSE(read_signature(io::parse_request_head(text).value())) << value;
  }
}

TEST(SigV4, KeysFile) {
  auto keys = parse_signing_keys("# comment\n\nAKID secret with/slash\r\nB:c\n");
  ASSERT_TRUE(keys);
  EXPECT_EQ(keys->at("AKID"), "secret with/slash");
  EXPECT_EQ(keys->at("B"), "c");
  auto wrong = parse_signing_keys("AKID s\nonlyakey\n");
  ASSERT_FALSE(wrong);
  EXPECT_NE(wrong.error().message().find("line 2"), std::string::npos);
}

}  // namespace
}  // namespace berth::api::aws
