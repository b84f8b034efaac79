// Before anything of an image is unpacked: whether the signature policy lets it in. Signatures are looked for
// where cosign puts them, under the tag sha256-<digest>.sig and among the manifest's referrers.
#include <algorithm>

#include "base/bytes.h"
#include "base/format.h"
#include "base/log.h"
#include "registry/client/pull.h"
#include "registry/client/signature.h"
#include "registry/client/signature_policy.h"
#include "sys/file.h"

namespace berth::registry {
namespace {

constexpr std::string_view payload_type = "application/vnd.dev.cosign.simplesigning.v1+json";
constexpr std::string_view signature_artifact = "application/vnd.dev.cosign.artifact.sig.v1+json";
constexpr std::string_view signature_annotation = "dev.cosignproject.cosign/signature";
constexpr size_t max_key_bytes = 64 << 10;
constexpr size_t max_payload = 64 << 10;
constexpr size_t max_signature_text = 16 << 10;
constexpr size_t max_signatures = 64;
constexpr size_t max_referrers = 32;

/// The search for one signature that counts.
class SignatureSearch {
 public:
  SignatureSearch(const SignatureRule& rule, const spec::Reference& image) : rule_(rule), image_(image) {}

  Result<void> read_keys() {
    for (const std::string& path : rule_.keys) {
      TRY(std::string pem, sys::read_file(path, max_key_bytes));
      auto key = PublicKey::parse(pem);
      if (!key) return std::move(key).error().in("signature key", path);
      keys_.push_back(std::move(*key));
    }
    return {};
  }

  /// Whether one of the signatures of `digest` is good. What is malformed or too large is no signature.
  Result<bool> is_signed(Repository& repository, const Digest& digest) {
    auto tagged = repository.get_manifest("sha256-" + digest.hex() + ".sig", std::nullopt);
    if (tagged) {
      TRY(bool good, try_manifest(repository, tagged->bytes, digest));
      if (good) return true;
    } else if (repository.last_failure().trouble != Trouble::None) {
      return std::move(tagged).error();  // no answer is not "no signature": another endpoint may be asked
    }
    auto referrers = repository.referrers(digest, signature_artifact);
    if (!referrers) return false;
    size_t looked = 0;
    for (const spec::Descriptor& descriptor : referrers->manifests) {
      if (descriptor.artifact_type != signature_artifact) continue;
      if (++looked > max_referrers) break;
      auto manifest = repository.get_manifest(descriptor.digest.str(), descriptor.digest);
      if (!manifest) continue;
      TRY(bool good, try_manifest(repository, manifest->bytes, digest));
      if (good) return true;
    }
    return false;
  }

  size_t seen() const { return seen_; }
  /// Why the last one did not count.
  const std::string& why() const { return why_; }

 private:
  Result<bool> try_manifest(Repository& repository, std::string_view bytes, const Digest& digest) {
    auto manifest = spec::parse_manifest(bytes);
    if (!manifest) return reject("its manifest is malformed");
    for (const spec::Descriptor& layer : manifest->layers) {
      if (layer.media_type != payload_type) continue;
      if (++seen_ > max_signatures) return reject("there are too many");
      auto annotation = layer.annotations.find(std::string(signature_annotation));
      if (annotation == layer.annotations.end() || annotation->second.size() > max_signature_text) {
        reject("it has no signature");
        continue;
      }
      auto signature = from_base64(annotation->second);
      if (!signature) {
        reject("its signature is not base64");
        continue;
      }
      auto payload = repository.get_blob(layer, max_payload);
      if (!payload) {
        if (repository.last_failure().trouble != Trouble::None) return std::move(payload).error();
        reject("its document cannot be had: " + payload.error().message());
        continue;
      }
      if (is_good(*payload, *signature, digest)) return true;
    }
    return false;
  }

  bool is_good(std::string_view payload, std::string_view signature, const Digest& digest) {
    bool known_key = std::any_of(keys_.begin(), keys_.end(),
                                 [&](const PublicKey& key) { return key.verify(payload, signature); });
    if (!known_key) return reject("it is by another key");
    auto claim = parse_signed_claim(payload);
    if (!claim) return reject(claim.error().message());
    if (claim->manifest != digest) return reject("it is for another image: " + claim->manifest.str());
    std::string name = rule_.identity.empty() ? image_.name() : rule_.identity;
    if (!claim_fits(*claim, name, image_.tag()))
      return reject("it is for \"" + one_line(claim->reference, 200) + "\"");
    return true;
  }

  bool reject(std::string why) {
    why_ = std::move(why);
    return false;
  }

  const SignatureRule& rule_;
  const spec::Reference& image_;
  std::vector<PublicKey> keys_;
  size_t seen_ = 0;
  std::string why_;
};

std::string joined(const std::vector<std::string>& texts) {
  return fmt::format("{}", fmt::join(texts, ", "));
}

}  // namespace

Result<void> Pull::check_signatures() {
  const std::string& path = state_.surroundings.settings->signature_policy;
  if (path.empty()) return {};
  TRY(SignaturePolicy policy, read_signature_policy(path));
  const SignatureRule& rule = rule_for(policy, reference_);
  if (rule.require == SignatureRule::Require::Accept) return {};
  if (rule.require == SignatureRule::Require::Reject) {
    return failure(Kind::Forbidden,
                   "{} is refused by the signature policy {} (\"{}\": reject): add a rule for it there",
                   reference_.familiar_string(), path, rule.images);
  }
  SignatureSearch search(rule, reference_);
  CHECK(search.read_keys());
  bool is_signed = false;
  bool searched = false;
  // Who signed the index has signed what it leads to; of one image alone its own manifest's signature will
  // do.
  std::vector<Digest> candidates = {*top_};
  std::optional<Digest> manifest;
  if (manifest_) manifest = manifest_->digest;
  auto here = image_ ? state_.images.get(*image_) : Result<storage::Image>(Error(Kind::NotFound, "not here"));
  if (here) manifest = here->manifest;
  if (manifest && *manifest != *top_ && !request_.all_platforms) candidates.push_back(*manifest);
  auto use = [&](Repository& repository) -> Result<void> {
    for (const Digest& digest : candidates) {
      TRY(is_signed, search.is_signed(repository, digest));
      if (is_signed) return {};
    }
    searched = true;
    // A mirror may have the image without its signatures.
    return Error(Kind::NotFound, "no signature that counts");
  };
  auto asked =
      on_some_endpoint(state_, endpoints_, reference_, request_.credentials, Access::Pull, stop_, use);
  if (!asked && !searched) return std::move(asked).error();
  if (is_signed) {
    log::info("image {} {} has a signature that the policy asks for", reference_.familiar_string(),
              top_->str());
    return {};
  }
  std::string found = search.seen() == 0
                          ? std::string("it has no signature")
                          : fmt::format("{} signature{} looked at; the last does not count: {}",
                                        search.seen(), search.seen() == 1 ? " was" : "s were", search.why());
  return failure(
      Kind::Forbidden,
      "{} ({}) is refused by the signature policy {}: \"{}\" must be signed by {}, and {}: have it "
      "signed (cosign sign --key), or change the rule",
      reference_.familiar_string(), top_->str(), path, rule.images, joined(rule.keys), found);
}

}  // namespace berth::registry
