#include "api/aws/sigv4.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <ctime>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/format.h"
#include "base/sha256.h"

namespace berth::api::aws {
namespace {

constexpr std::string_view algorithm = "AWS4-HMAC-SHA256";
constexpr int64_t clock_tolerance_seconds = 900;

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

bool read_scope(std::string_view credential, Signature& signature) {
  auto parts = split(credential, '/');
  if (parts.size() < 5 || parts.back() != "aws4_request") return false;
  size_t n = parts.size();  // an access key may hold slashes
  signature.service = parts[n - 2];
  signature.region = parts[n - 3];
  signature.date = parts[n - 4];
  size_t key_size = 0;
  for (size_t i = 0; i + 4 < n; ++i) key_size += parts[i].size() + (i > 0 ? 1 : 0);
  signature.access_key = credential.substr(0, key_size);
  return true;
}

std::optional<Signature> read_header(std::string_view authorization, const io::HttpRequestHead& head) {
  if (!authorization.starts_with(algorithm)) return std::nullopt;
  Signature signature;
  bool scoped = false;
  for (std::string_view part : split(authorization.substr(algorithm.size()), ',')) {
    part = trimmed(part);
    size_t equals = part.find('=');
    if (equals == std::string_view::npos) continue;
    std::string_view name = part.substr(0, equals), value = part.substr(equals + 1);
    if (name == "Credential") scoped = read_scope(value, signature);
    if (name == "SignedHeaders") signature.signed_headers = value;
    if (name == "Signature") signature.signature = value;
  }
  signature.time = head.headers.get("X-Amz-Date").value_or("");
  return scoped ? std::optional(std::move(signature)) : std::nullopt;
}

std::optional<Signature> read_query(const io::HttpRequestHead& head) {
  Signature signature;
  signature.in_query = true;
  if (!read_scope(head.query.get_or("X-Amz-Credential", ""), signature)) return std::nullopt;
  signature.signed_headers = head.query.get_or("X-Amz-SignedHeaders", "");
  signature.signature = head.query.get_or("X-Amz-Signature", "");
  signature.time = head.query.get_or("X-Amz-Date", "");
  std::string_view expires = head.query.get_or("X-Amz-Expires", "");
  std::from_chars(expires.data(), expires.data() + expires.size(), signature.expires_seconds);
  return signature;
}

/// S3 signs the path as it is sent; all others escape it once more.
std::string canonical_path(const io::HttpRequestHead& head, const Signature& signature) {
  std::string_view path = std::string_view(head.target).substr(0, head.target.find('?'));
  if (path.empty()) return "/";
  if (signature.service == "s3") {
    auto decoded = io::percent_decode(path);
    return decoded ? uri_encode(*decoded, Slash::Keep) : std::string(path);
  }
  return uri_encode(path, Slash::Keep);
}

std::string canonical_query(const io::HttpRequestHead& head) {
  std::vector<std::pair<std::string, std::string>> parameters;
  for (const auto& [name, value] : head.query.parameters()) {
    if (name == "X-Amz-Signature") continue;
    parameters.emplace_back(uri_encode(name, Slash::Escape), uri_encode(value, Slash::Escape));
  }
  std::sort(parameters.begin(), parameters.end());
  std::string text;
  for (const auto& [name, value] : parameters) {
    if (!text.empty()) text.push_back('&');
    text.append(name).append("=").append(value);
  }
  return text;
}

/// Runs of spaces become one; the lines of repeated fields are joined by commas.
std::string header_value(const io::HttpRequestHead& head, std::string_view name) {
  std::string text;
  for (std::string_view value : head.headers.all(name)) {
    if (!text.empty()) text.push_back(',');
    bool space = false;
    for (char c : trimmed(value)) {
      if (c == ' ' && space) continue;
      space = c == ' ';
      text.push_back(c);
    }
  }
  return text;
}

std::string canonical_request(const io::HttpRequestHead& head, const Signature& signature,
                              std::string_view payload_hash) {
  std::string text =
      fmt::format("{}\n{}\n{}\n", head.method, canonical_path(head, signature), canonical_query(head));
  for (std::string_view name : split(signature.signed_headers, ';')) {
    text.append(name).append(":").append(header_value(head, name)).append("\n");
  }
  return text.append("\n").append(signature.signed_headers).append("\n").append(payload_hash);
}

std::optional<int64_t> parse_time(const std::string& text) {
  tm parts{};
  const char* end = ::strptime(text.c_str(), "%Y%m%dT%H%M%SZ", &parts);
  if (end == nullptr || *end != '\0') return std::nullopt;
  return static_cast<int64_t>(::timegm(&parts));
}

Result<void> check_time(const Signature& signature, int64_t now) {
  auto signed_at = parse_time(signature.time);
  if (!signed_at || !signature.time.starts_with(signature.date)) {
    return Error(Kind::Forbidden,
                 "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date");
  }
  int64_t latest =
      signature.in_query
          ? *signed_at + static_cast<int64_t>(std::min<uint64_t>(signature.expires_seconds, 604'800))
          : *signed_at + clock_tolerance_seconds;
  if (now > latest || now < *signed_at - clock_tolerance_seconds) {
    return failure(Kind::Forbidden, "Signature expired: {} is now earlier than the time allowed",
                   signature.time);
  }
  return {};
}

}  // namespace

std::string hmac_sha256(std::string_view key, std::string_view message) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> out{};
  unsigned size = 0;
  ::HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
         reinterpret_cast<const unsigned char*>(message.data()), message.size(), out.data(), &size);
  return std::string(reinterpret_cast<const char*>(out.data()), size);
}

std::string uri_encode(std::string_view text, Slash slash) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string out;
  for (char c : text) {
    auto byte = static_cast<unsigned char>(c);
    bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                 c == '_' || c == '.' || c == '~' || (c == '/' && slash == Slash::Keep);
    if (plain) {
      out.push_back(c);
    } else {
      out.push_back('%');
      out.push_back(digits[byte >> 4]);
      out.push_back(digits[byte & 15]);
    }
  }
  return out;
}

std::optional<Signature> read_signature(const io::HttpRequestHead& head) {
  if (auto authorization = head.headers.get("Authorization")) return read_header(*authorization, head);
  return read_query(head);
}

std::string sign(const io::HttpRequestHead& head, const Signature& signature, std::string_view secret,
                 std::string_view payload_hash) {
  std::string canonical = canonical_request(head, signature, payload_hash);
  std::string scope =
      fmt::format("{}/{}/{}/aws4_request", signature.date, signature.region, signature.service);
  std::string text = fmt::format("{}\n{}\n{}\n{}", algorithm, signature.time, scope, sha256(canonical).hex());
  std::string key = hmac_sha256(fmt::format("AWS4{}", secret), signature.date);
  key = hmac_sha256(hmac_sha256(hmac_sha256(key, signature.region), signature.service), "aws4_request");
  std::string raw = hmac_sha256(key, text);
  return to_hex({reinterpret_cast<const uint8_t*>(raw.data()), raw.size()});
}

Result<void> verify_signature(const io::HttpRequestHead& head, const Signature& signature,
                              const SigningKeys& keys, const SignedBody& body, int64_t now) {
  auto secret = keys.find(signature.access_key);
  if (secret == keys.end()) {
    return Error(Kind::Forbidden, "The security token included in the request is invalid.");
  }
  CHECK(check_time(signature, now));
  std::string_view payload = head.headers.get("X-Amz-Content-Sha256").value_or("");
  if (payload.empty())
    payload = signature.in_query && signature.service == "s3" ? "UNSIGNED-PAYLOAD" : body.sha256_hex;
  // A hash that is given must be the body's own; "UNSIGNED-PAYLOAD" and "STREAMING-..." are no hashes.
  if (payload.size() == 64 && payload != body.sha256_hex) {
    return Error(Kind::Forbidden,
                 "The provided 'x-amz-content-sha256' header does not match what was computed.");
  }
  std::string expected = sign(head, signature, secret->second, payload);
  bool equal = expected.size() == signature.signature.size() &&
               CRYPTO_memcmp(expected.data(), signature.signature.data(), expected.size()) == 0;
  if (!equal) {
    return Error(
        Kind::Forbidden,
        "The request signature we calculated does not match the signature you provided. Check your AWS "
        "Secret Access Key and signing method. Consult the service documentation for details.");
  }
  return {};
}

Result<SigningKeys> parse_signing_keys(std::string_view text) {
  SigningKeys keys;
  size_t number = 0;
  for (std::string_view line : split(text, '\n')) {
    ++number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    line = trimmed(line);
    if (line.empty() || line.starts_with('#')) continue;
    size_t gap = line.find_first_of(" :\t");
    std::string_view secret =
        gap == std::string_view::npos ? std::string_view() : trimmed(line.substr(gap + 1));
    if (gap == 0 || secret.empty()) {
      return failure(Kind::InvalidArgument, "line {}: expected \"ACCESS_KEY_ID SECRET_ACCESS_KEY\"", number);
    }
    keys.emplace(line.substr(0, gap), secret);
  }
  return keys;
}

}  // namespace berth::api::aws
