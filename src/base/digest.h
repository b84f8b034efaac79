// Digest: the name of content, "sha256:<64 hex>" (OCI image-spec descriptor.md). A Digest object is
// always well formed, so it can be used in a path. Hashing itself is in sha256.h.
#pragma once

#include <compare>
#include <string>
#include <string_view>

#include "base/result.h"

namespace berth {

class Digest {
 public:
  /// Accepts "sha256:" and 64 lower-case hex digits, nothing else.
  static Result<Digest> parse(std::string_view text);
  /// From 32 raw bytes or 64 hex digits that the caller has computed itself.
  static Digest from_hex(std::string hex);

  /// "sha256:<hex>"
  std::string str() const { return "sha256:" + hex_; }
  /// The 64 hex digits alone: a file name below blobs/sha256/.
  const std::string& hex() const { return hex_; }
  /// First twelve digits, as tables show them.
  std::string short_hex() const { return hex_.substr(0, 12); }

  auto operator<=>(const Digest&) const = default;

 private:
  explicit Digest(std::string hex) : hex_(std::move(hex)) {}
  std::string hex_;
};

}  // namespace berth
