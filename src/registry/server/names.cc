// Grammar of names, and OpenSSL's digests.
#include "registry/server/names.h"

#include <openssl/evp.h>

#include <array>
#include <cstdlib>
#include <span>

#include "base/bytes.h"
#include "base/format.h"

namespace berth::registry::server {
namespace {

constexpr size_t max_name = 255;

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/// "." , "_", "__" or any number of '-'.
bool is_separator(std::string_view text) {
  return text == "." || text == "_" || text == "__" ||
         (!text.empty() && text.find_first_not_of('-') == std::string_view::npos);
}

bool is_segment(std::string_view segment) {
  if (segment.empty() || !is_word(segment.front()) || !is_word(segment.back())) return false;
  for (size_t at = 0; at < segment.size();) {
    while (at < segment.size() && is_word(segment[at])) ++at;
    size_t start = at;
    while (at < segment.size() && !is_word(segment[at])) ++at;
    if (at > start && !is_separator(segment.substr(start, at - start))) return false;
  }
  return true;
}

}  // namespace

bool is_repository_name(std::string_view name) {
  if (name.empty() || name.size() > max_name) return false;
  while (true) {
    size_t slash = name.find('/');
    if (!is_segment(name.substr(0, slash))) return false;
    if (slash == std::string_view::npos) return true;
    name.remove_prefix(slash + 1);
  }
}

Result<ContentDigest> ContentDigest::parse(std::string_view text) {
  auto is_hex = [](std::string_view digits, size_t count) {
    return digits.size() == count && digits.find_first_not_of("0123456789abcdef") == std::string_view::npos;
  };
  if (text.starts_with("sha256:") && is_hex(text.substr(7), 64)) {
    return ContentDigest(Algorithm::Sha256, std::string(text));
  }
  if (text.starts_with("sha512:") && is_hex(text.substr(7), 128)) {
    return ContentDigest(Algorithm::Sha512, std::string(text));
  }
  return failure(Kind::InvalidArgument,
                 "invalid digest \"{}\": expected sha256: or sha512: and its hex digits",
                 text.substr(0, 160));
}

struct ContentHash::State {
  ContentDigest::Algorithm algorithm;
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~State() { EVP_MD_CTX_free(context); }
};

ContentHash::ContentHash(ContentDigest::Algorithm algorithm) : state_(new State{algorithm}) {
  const EVP_MD* kind = algorithm == ContentDigest::Algorithm::Sha256 ? EVP_sha256() : EVP_sha512();
  if (state_->context == nullptr || EVP_DigestInit_ex(state_->context, kind, nullptr) != 1) std::abort();
}
ContentHash::~ContentHash() = default;
ContentHash::ContentHash(ContentHash&&) noexcept = default;
ContentHash& ContentHash::operator=(ContentHash&&) noexcept = default;

void ContentHash::update(std::string_view bytes) {
  EVP_DigestUpdate(state_->context, bytes.data(), bytes.size());
}

ContentDigest ContentHash::finish() {
  std::array<uint8_t, EVP_MAX_MD_SIZE> bytes;
  unsigned size = 0;
  EVP_DigestFinal_ex(state_->context, bytes.data(), &size);
  std::string_view name = state_->algorithm == ContentDigest::Algorithm::Sha256 ? "sha256:" : "sha512:";
  auto digest = ContentDigest::parse(fmt::format("{}{}", name, to_hex(std::span(bytes).first(size))));
  if (!digest) std::abort();  // computed here
  return *digest;
}

ContentDigest digest_of(ContentDigest::Algorithm algorithm, std::string_view bytes) {
  ContentHash hash(algorithm);
  hash.update(bytes);
  return hash.finish();
}

}  // namespace berth::registry::server
