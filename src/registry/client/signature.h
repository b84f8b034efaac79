// Signatures of images in cosign's format: a document ("simple signing") that names a manifest's digest and
// the image, and a signature of the document's bytes. Pure but for OpenSSL.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/digest.h"
#include "base/result.h"

namespace berth::registry {

/// An ECDSA (P-256, P-384, P-521), RSA (2048 bits and more) or Ed25519 key.
class PublicKey {
 public:
  /// PEM, "-----BEGIN PUBLIC KEY-----" or a certificate. Anything else, and weak keys: InvalidArgument.
  static Result<PublicKey> parse(std::string_view pem);
  ~PublicKey();
  PublicKey(PublicKey&&) noexcept;
  PublicKey& operator=(PublicKey&&) noexcept;

  /// ECDSA with SHA-256 (DER), RSA PKCS #1 v1.5 with SHA-256, Ed25519 over the bytes themselves.
  bool verify(std::string_view message, std::string_view signature) const;

 private:
  struct State;
  explicit PublicKey(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// What a signed document says.
struct SignedClaim {
  Digest manifest;
  std::string reference;  ///< as its signer named the image; may be a repository alone
};

/// Malformed, of another type, without digest: InvalidArgument.
Result<SignedClaim> parse_signed_claim(std::string_view payload);

/// Whether the claim speaks of an image of this full name ("docker.io/library/x") and tag (empty: pulled by
/// digest). A tag in the claim must be the one; a digest in it must be the claim's own.
bool claim_fits(const SignedClaim& claim, const std::string& name, const std::string& tag);

}  // namespace berth::registry
