// htpasswd by crypt(3); JWT (RFC 7519) by OpenSSL.
#include "registry/server/auth.h"

#include <crypt.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <algorithm>
#include <array>

#include "base/bytes.h"
#include "base/format.h"
#include "base/json.h"
#include "base/sha256.h"

namespace berth::registry::server {
namespace {

constexpr size_t max_users = 100'000;
constexpr size_t max_verified = 10'000;
constexpr size_t max_token = 64 << 10;
constexpr size_t max_scopes = 256;
constexpr auto remember_for = std::chrono::minutes(5);
/// Cost 10 over "x": what an unknown user's password is compared with.
constexpr const char* nobody = "$2b$10$CwTycUXWue0Thq9StjUM0uJ8e1sZ6QyP6QG0VxM9lQ0pQyZ0bN3mO";

bool equal_in_constant_time(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::string_view after_scheme(std::string_view text, std::string_view scheme) {
  if (text.size() <= scheme.size() || text[scheme.size()] != ' ') return {};
  for (size_t i = 0; i < scheme.size(); ++i) {
    if ((text[i] | 0x20) != (scheme[i] | 0x20)) return {};
  }
  text.remove_prefix(scheme.size() + 1);
  while (text.starts_with(' ')) text.remove_prefix(1);
  return text;
}

std::string to_base64url(std::string_view bytes) {
  std::string text = to_base64(bytes);
  while (text.ends_with('=')) text.pop_back();
  for (char& c : text) c = c == '+' ? '-' : c == '/' ? '_' : c;
  return text;
}

bool is_bcrypt(std::string_view hash) {
  return hash.size() == 60 &&
         (hash.starts_with("$2y$") || hash.starts_with("$2b$") || hash.starts_with("$2a$"));
}

std::string hmac_sha256(std::string_view key, std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> out;
  unsigned size = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), out.data(), &size);
  return {reinterpret_cast<const char*>(out.data()), size};
}

/// JOSE writes an ECDSA signature as r and s side by side; OpenSSL wants DER.
std::string der_of_ecdsa(std::string_view raw) {
  if (raw.size() != 64) return {};
  ECDSA_SIG* signature = ECDSA_SIG_new();
  const auto* bytes = reinterpret_cast<const unsigned char*>(raw.data());
  ECDSA_SIG_set0(signature, BN_bin2bn(bytes, 32, nullptr), BN_bin2bn(bytes + 32, 32, nullptr));
  unsigned char* der = nullptr;
  int size = i2d_ECDSA_SIG(signature, &der);
  std::string result(reinterpret_cast<const char*>(der), size > 0 ? static_cast<size_t>(size) : 0);
  OPENSSL_free(der);
  ECDSA_SIG_free(signature);
  return result;
}

EVP_PKEY* read_public_key(std::string_view pem) {
  BIO* bio = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  EVP_PKEY* key = PEM_read_bio_PUBKEY(bio, nullptr, nullptr, nullptr);
  if (key == nullptr) {
    BIO_reset(bio);
    if (X509* certificate = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr)) {
      key = X509_get_pubkey(certificate);
      X509_free(certificate);
    }
  }
  BIO_free(bio);
  ERR_clear_error();
  return key;
}

Error bad_token(std::string_view why) {
  return failure(Kind::Unauthenticated, "invalid token: {}", why);
}

Result<Json> decode_part(std::string_view part) {
  auto bytes = from_base64(part);
  if (!bytes) return bad_token("not base64");
  auto json = parse_json(*bytes, {.max_bytes = max_token, .max_depth = 8});
  if (!json || !json->is_object()) return bad_token("not JSON");
  return json;
}

bool names_service(const Json& claims, const std::string& service) {
  const Json* audience = json_member(claims, "aud");
  if (audience == nullptr) return false;
  if (audience->is_string()) return audience->get_ref<const std::string&>() == service;
  return audience->is_array() &&
         std::any_of(audience->begin(), audience->end(), [&](const Json& one) { return one == service; });
}

Result<std::vector<Scope>> read_access(const Json& claims) {
  std::vector<Scope> scopes;
  const Json* access = json_member(claims, "access");
  if (access == nullptr) return scopes;
  if (!access->is_array() || access->size() > max_scopes) return bad_token("malformed access");
  for (const Json& entry : *access) {
    if (!entry.is_object()) return bad_token("malformed access");
    Scope scope;
    TRY(scope.type, json_string(entry, "type"));
    TRY(scope.name, json_string(entry, "name"));
    TRY(scope.actions, json_strings(entry, "actions"));
    scopes.push_back(std::move(scope));
  }
  return scopes;
}

}  // namespace

std::optional<Credentials> parse_basic(std::string_view authorization) {
  std::string_view encoded = after_scheme(authorization, "Basic");
  if (encoded.empty() || encoded.size() > 4096) return std::nullopt;
  auto text = from_base64(encoded);
  if (!text) return std::nullopt;
  size_t colon = text->find(':');
  if (colon == std::string::npos || text->find('\0') != std::string::npos) return std::nullopt;
  return Credentials{text->substr(0, colon), text->substr(colon + 1)};
}

std::optional<std::string_view> parse_bearer(std::string_view authorization) {
  std::string_view token = after_scheme(authorization, "Bearer");
  if (token.empty()) return std::nullopt;
  return token;
}

Result<std::unique_ptr<Htpasswd>> Htpasswd::parse(std::string_view text) {
  auto users = std::make_unique<Htpasswd>();
  size_t number = 0;
  while (!text.empty()) {
    size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    ++number;
    while (line.ends_with('\r') || line.ends_with(' ')) line.remove_suffix(1);
    if (line.empty() || line.starts_with('#')) continue;
    size_t colon = line.find(':');
    if (colon == std::string_view::npos || colon == 0 || !is_bcrypt(line.substr(colon + 1))) {
      return failure(Kind::InvalidArgument,
                     "htpasswd line {}: expected NAME:$2y$...; only bcrypt passwords are taken (htpasswd -B)",
                     number);
    }
    if (users->hashes_.size() >= max_users)
      return failure(Kind::InvalidArgument, "more than {} users", max_users);
    users->hashes_[std::string(line.substr(0, colon))] = line.substr(colon + 1);
  }
  if (users->hashes_.empty()) return failure(Kind::InvalidArgument, "the htpasswd file names no user");
  return users;
}

bool Htpasswd::verify(const Credentials& credentials) {
  std::string name = sha256(fmt::format("{}\n{}", credentials.user, credentials.password)).hex();
  auto now = std::chrono::steady_clock::now();
  {
    std::lock_guard lock(mutex_);
    auto remembered = verified_.find(name);
    if (remembered != verified_.end() && remembered->second > now) return true;
  }
  auto user = hashes_.find(credentials.user);
  bool known = user != hashes_.end();
  std::string expected = known ? user->second : nobody;
  auto scratch = std::make_unique<crypt_data>();
  const char* computed = ::crypt_r(credentials.password.c_str(), expected.c_str(), scratch.get());
  bool right = computed != nullptr && equal_in_constant_time(computed, expected) && known;
  if (!right) return false;
  std::lock_guard lock(mutex_);
  if (verified_.size() >= max_verified) verified_.clear();
  verified_[name] = now + remember_for;
  return true;
}

bool Scope::allows(std::string_view action) const {
  return std::any_of(actions.begin(), actions.end(),
                     [&](const std::string& granted) { return granted == action || granted == "*"; });
}

std::optional<Scope> parse_scope(std::string_view text) {
  size_t first = text.find(':');
  size_t last = text.rfind(':');
  if (first == std::string_view::npos || last == first || text.size() > 1024) return std::nullopt;
  Scope scope{std::string(text.substr(0, first)), std::string(text.substr(first + 1, last - first - 1)), {}};
  for (std::string_view rest = text.substr(last + 1); !rest.empty();) {
    size_t comma = rest.find(',');
    scope.actions.emplace_back(rest.substr(0, comma));
    rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
  }
  return scope;
}

bool Token::allows(std::string_view type, std::string_view name, std::string_view action) const {
  return std::any_of(access.begin(), access.end(), [&](const Scope& scope) {
    return scope.type == type && scope.name == name && scope.allows(action);
  });
}

TokenAuthority::~TokenAuthority() {
  EVP_PKEY_free(key_);
}

Result<std::unique_ptr<TokenAuthority>> TokenAuthority::create(std::string_view key, std::string service,
                                                               std::string issuer) {
  std::unique_ptr<TokenAuthority> authority(new TokenAuthority());
  if (key.find("-----BEGIN ") != std::string_view::npos) {
    authority->key_ = read_public_key(key);
    if (authority->key_ == nullptr) {
      return Error(Kind::InvalidArgument, "the token key is no PEM public key or certificate");
    }
    int type = EVP_PKEY_get_base_id(authority->key_);
    if (type != EVP_PKEY_RSA && type != EVP_PKEY_EC) {
      return Error(Kind::InvalidArgument, "the token key must be RSA (RS256) or EC P-256 (ES256)");
    }
  } else {
    while (key.ends_with('\n')) key.remove_suffix(1);
    if (key.size() < 32) return Error(Kind::InvalidArgument, "a token secret needs at least 32 bytes");
    authority->secret_ = key;
  }
  authority->service_ = std::move(service);
  authority->issuer_ = std::move(issuer);
  return authority;
}

bool TokenAuthority::is_signed(std::string_view algorithm, std::string_view text,
                               std::string_view signature) const {
  if (key_ == nullptr) {
    return algorithm == "HS256" && equal_in_constant_time(hmac_sha256(secret_, text), signature);
  }
  bool is_rsa = EVP_PKEY_get_base_id(key_) == EVP_PKEY_RSA;
  if (algorithm != (is_rsa ? "RS256" : "ES256")) return false;
  std::string der = is_rsa ? std::string(signature) : der_of_ecdsa(signature);
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  bool right = EVP_DigestVerifyInit(context, nullptr, EVP_sha256(), nullptr, key_) == 1 &&
               EVP_DigestVerify(context, reinterpret_cast<const unsigned char*>(der.data()), der.size(),
                                reinterpret_cast<const unsigned char*>(text.data()), text.size()) == 1;
  EVP_MD_CTX_free(context);
  ERR_clear_error();
  return right;
}

Result<Token> TokenAuthority::verify(std::string_view text, std::chrono::system_clock::time_point now) const {
  if (text.size() > max_token) return bad_token("too long");
  size_t first = text.find('.');
  size_t last = text.rfind('.');
  if (first == std::string_view::npos || first == last) return bad_token("not three parts");
  TRY(Json header, decode_part(text.substr(0, first)));
  TRY(std::string algorithm, json_string(header, "alg"));
  auto signature = from_base64(text.substr(last + 1));
  if (!signature || !is_signed(algorithm, text.substr(0, last), *signature)) return bad_token("signature");
  TRY(Json claims, decode_part(text.substr(first + 1, last - first - 1)));
  int64_t seconds = std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count();
  constexpr int64_t leeway = 60;
  TRY(int64_t expires, json_int(claims, "exp", 0));
  TRY(int64_t begins, json_int(claims, "nbf", 0));
  if (expires + leeway <= seconds) return bad_token("expired");
  if (begins - leeway > seconds) return bad_token("not yet valid");
  TRY(std::string issuer, json_string(claims, "iss"));
  if (!issuer_.empty() && issuer != issuer_) return bad_token("of another issuer");
  if (!names_service(claims, service_)) return bad_token("for another service");
  Token token;
  TRY(token.subject, json_string(claims, "sub"));
  TRY(token.access, read_access(claims));
  return token;
}

std::string TokenAuthority::issue(const Token& token, std::chrono::system_clock::time_point now,
                                  std::chrono::seconds life) const {
  int64_t seconds = std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count();
  Json access = Json::array();
  for (const Scope& scope : token.access) {
    access.push_back({{"type", scope.type}, {"name", scope.name}, {"actions", scope.actions}});
  }
  Json claims = {{"iss", issuer_}, {"sub", token.subject},          {"aud", service_}, {"iat", seconds},
                 {"nbf", seconds}, {"exp", seconds + life.count()}, {"access", access}};
  std::string text = to_base64url(R"({"alg":"HS256","typ":"JWT"})") + "." + to_base64url(to_json(claims));
  return text + "." + to_base64url(hmac_sha256(secret_, text));
}

}  // namespace berth::registry::server
