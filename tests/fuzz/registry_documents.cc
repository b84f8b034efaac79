// Fuzz target: what registries and token servers send besides manifests: challenges, tokens, errors,
// locations, indexes from which a platform is chosen, and signatures; and the policy that asks for them.
#include <cstdint>
#include <string_view>

#include "registry/client/challenge.h"
#include "registry/client/credentials.h"
#include "registry/client/manifest_choice.h"
#include "registry/client/signature.h"
#include "registry/client/signature_policy.h"
#include "registry/client/url.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  namespace registry = berth::registry;
  for (const auto& challenge : registry::parse_challenges(text)) {
    if (challenge.scheme.empty()) __builtin_trap();
  }
  if (const auto token = registry::parse_token(text)) {
    if (token->value.find_first_of("\r\n ") != std::string::npos) __builtin_trap();
  }
  const auto error = registry::parse_registry_error(401, text, text);
  if (error.str().find('\n') != std::string::npos) __builtin_trap();
  if (const auto url = registry::Url::parse(text)) {
    const auto again = registry::Url::parse(url->str());
    if (!again || *again != *url) __builtin_trap();
  }
  const auto base = registry::Url::parse("https://registry.example/v2/");
  if (const auto url = base->resolve(text)) {
    if (url->host.find('@') != std::string::npos) __builtin_trap();
  }
  (void)registry::parse_credentials(text);
  (void)registry::credentials_from_config(text, "docker.io");
  if (const auto index = berth::spec::parse_index(text))
    (void)registry::choose_manifest(*index, berth::spec::Platform::host());
  if (const auto claim = registry::parse_signed_claim(text)) {
    if (registry::claim_fits(*claim, "docker.io/library/nobody", "1") && claim->reference.empty())
      __builtin_trap();
  }
  if (const auto policy = registry::parse_signature_policy(text, "/keys")) {
    for (const auto& rule : policy->rules) {
      // A rule that wants a signature says whose.
      if (rule.require == registry::SignatureRule::Require::Signed && rule.keys.empty()) __builtin_trap();
    }
  }
  if (const auto key = registry::PublicKey::parse(text)) {
    if (key->verify(text, text)) __builtin_trap();
  }
  return 0;
}
