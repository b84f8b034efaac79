// AWS Signature Version 4: what a request says of its signer, and whether the signature is right. Header form
// and presigned query form. Pure.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "io/http_message.h"

namespace berth::api::aws {

/// "AKID/20261128/us-east-1/lambda/aws4_request" and what else a signature carries.
struct Signature {
  std::string access_key, date, region, service;
  std::string signed_headers;  ///< as sent, separated by ';'
  std::string signature;
  std::string time;  ///< X-Amz-Date, "20261128T060511Z"
  bool in_query = false;
  uint64_t expires_seconds = 0;  ///< of the query form
};

/// nullopt: the request is not signed, or not in this way.
std::optional<Signature> read_signature(const io::HttpRequestHead& head);

/// Secret keys by access key.
using SigningKeys = std::map<std::string, std::string, std::less<>>;

/// What the signature is over besides the head.
struct SignedBody {
  std::string_view sha256_hex;  ///< of the body; what x-amz-content-sha256 says goes before it
};

/// Forbidden, in AWS's words: unknown key, wrong signature, too old (15 minutes), expired.
Result<void> verify_signature(const io::HttpRequestHead& head, const Signature& signature,
                              const SigningKeys& keys, const SignedBody& body, int64_t now_unix_seconds);

/// The signature of a request with these parts, as hex; for tests and for signing.
std::string sign(const io::HttpRequestHead& head, const Signature& signature, std::string_view secret,
                 std::string_view payload_hash);

/// "AKID SECRET" or "AKID:SECRET" a line, '#' comments. InvalidArgument names the line.
Result<SigningKeys> parse_signing_keys(std::string_view text);

std::string hmac_sha256(std::string_view key, std::string_view message);
/// RFC 3986: everything but unreserved characters is escaped; '/' too, unless kept.
enum class Slash { Keep, Escape };
std::string uri_encode(std::string_view text, Slash slash);

}  // namespace berth::api::aws
