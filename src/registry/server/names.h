// The words of the distribution specification 1.1 that come in paths: repository names and digests. Pure, and
// checked before anything is looked up: a ContentDigest is always well formed (CVE-2024-3727).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/digest.h"
#include "base/result.h"

namespace berth::registry::server {

/// Segments of [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)* joined by '/', at most 255 bytes.
bool is_repository_name(std::string_view name);

/// "sha256:<64 hex>" or "sha512:<128 hex>", lower case.
class ContentDigest {
 public:
  enum class Algorithm { Sha256, Sha512 };
  static Result<ContentDigest> parse(std::string_view text);
  explicit ContentDigest(const Digest& digest) : algorithm_(Algorithm::Sha256), text_(digest.str()) {}

  Algorithm algorithm() const { return algorithm_; }
  const std::string& str() const { return text_; }
  bool operator==(const ContentDigest&) const = default;

 private:
  ContentDigest(Algorithm algorithm, std::string text) : algorithm_(algorithm), text_(std::move(text)) {}
  Algorithm algorithm_;
  std::string text_;
};

/// Streaming digest of either algorithm.
class ContentHash {
 public:
  explicit ContentHash(ContentDigest::Algorithm algorithm);
  ~ContentHash();
  ContentHash(ContentHash&&) noexcept;
  ContentHash& operator=(ContentHash&&) noexcept;
  void update(std::string_view bytes);
  /// The object is spent afterwards.
  ContentDigest finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};
ContentDigest digest_of(ContentDigest::Algorithm algorithm, std::string_view bytes);

}  // namespace berth::registry::server
