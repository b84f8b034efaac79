// Fuzz target: what registries and token servers send besides manifests: challenges, tokens, errors,
// locations, and indexes from which a platform is chosen.
#include <cstdint>
#include <string_view>

#include "registry/client/challenge.h"
#include "registry/client/credentials.h"
#include "registry/client/manifest_choice.h"
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
  return 0;
}
