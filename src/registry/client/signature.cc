// OpenSSL's verification, and the simple signing document (containers/image docs/containers-signature.5).
#include "registry/client/signature.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/format.h"
#include "base/freed.h"
#include "base/json.h"
#include "spec/reference.h"

namespace berth::registry {
namespace {

constexpr size_t max_payload = 64 << 10;
constexpr int min_rsa_bits = 2048;
constexpr std::string_view claim_type = "cosign container image signature";

using Bio = std::unique_ptr<BIO, Freed<BIO_free>>;
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;
using DigestContext = std::unique_ptr<EVP_MD_CTX, Freed<EVP_MD_CTX_free>>;

Key read_key(std::string_view pem) {
  Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  Key key(PEM_read_bio_PUBKEY(bio.get(), nullptr, nullptr, nullptr));
  if (!key) {
    Bio again(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
    Certificate certificate(PEM_read_bio_X509(again.get(), nullptr, nullptr, nullptr));
    if (certificate) key.reset(X509_get_pubkey(certificate.get()));
  }
  ERR_clear_error();
  return key;
}

Error bad_claim(std::string_view what) {
  return failure(Kind::InvalidArgument, "signed document: {}", what);
}

}  // namespace

struct PublicKey::State {
  Key key;
};

PublicKey::PublicKey(std::unique_ptr<State> state) : state_(std::move(state)) {}
PublicKey::~PublicKey() = default;
PublicKey::PublicKey(PublicKey&&) noexcept = default;
PublicKey& PublicKey::operator=(PublicKey&&) noexcept = default;

Result<PublicKey> PublicKey::parse(std::string_view pem) {
  Key key = read_key(pem);
  if (!key) return Error(Kind::InvalidArgument, "no PEM public key or certificate");
  int type = EVP_PKEY_get_base_id(key.get());
  if (type == EVP_PKEY_RSA && EVP_PKEY_get_bits(key.get()) < min_rsa_bits)
    return failure(Kind::InvalidArgument, "an RSA key of less than {} bits", min_rsa_bits);
  if (type != EVP_PKEY_RSA && type != EVP_PKEY_EC && type != EVP_PKEY_ED25519)
    return Error(Kind::InvalidArgument, "neither an RSA, an ECDSA nor an Ed25519 key");
  return PublicKey(std::make_unique<State>(State{std::move(key)}));
}

bool PublicKey::verify(std::string_view message, std::string_view signature) const {
  bool hashes = EVP_PKEY_get_base_id(state_->key.get()) != EVP_PKEY_ED25519;
  DigestContext context(EVP_MD_CTX_new());
  bool right = context != nullptr &&
               EVP_DigestVerifyInit(context.get(), nullptr, hashes ? EVP_sha256() : nullptr, nullptr,
                                    state_->key.get()) == 1 &&
               EVP_DigestVerify(context.get(), reinterpret_cast<const unsigned char*>(signature.data()),
                                signature.size(), reinterpret_cast<const unsigned char*>(message.data()),
                                message.size()) == 1;
  ERR_clear_error();
  return right;
}

Result<SignedClaim> parse_signed_claim(std::string_view payload) {
  TRY(Json document, parse_json(payload, {.max_bytes = max_payload, .max_depth = 16}));
  // Exactly these spellings: json_member() would take a second member that differs in case.
  auto member = [](const Json* object, const char* key) -> const Json* {
    if (object == nullptr || !object->is_object()) return nullptr;
    auto found = object->find(key);
    return found == object->end() ? nullptr : &*found;
  };
  auto text = [](const Json* value) {
    return value != nullptr && value->is_string() ? value->get<std::string>() : "";
  };
  const Json* critical = member(&document, "critical");
  if (text(member(critical, "type")) != claim_type) return bad_claim("it is of another type");
  auto digest = Digest::parse(text(member(member(critical, "image"), "docker-manifest-digest")));
  if (!digest) return bad_claim("it names no digest");
  SignedClaim claim{.manifest = std::move(*digest),
                    .reference = text(member(member(critical, "identity"), "docker-reference"))};
  if (claim.reference.empty()) return bad_claim("it names no image");
  return claim;
}

bool claim_fits(const SignedClaim& claim, const std::string& name, const std::string& tag) {
  auto reference = spec::Reference::parse(claim.reference);
  if (!reference) return false;
  // cosign writes docker's own registry as index.docker.io.
  std::string own = reference->name();
  constexpr std::string_view index = "index.docker.io/";
  if (own.starts_with(index)) own = "docker.io/" + own.substr(index.size());
  if (own != name) return false;
  if (!reference->tag().empty() && !tag.empty() && reference->tag() != tag) return false;
  return !reference->digest() || *reference->digest() == claim.manifest;
}

}  // namespace berth::registry
