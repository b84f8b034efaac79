// Secrets as documents of the catalog.
#include "functions/catalog/secrets.h"

#include "base/format.h"
#include "base/json.h"
#include "functions/catalog/catalog.h"

namespace berth::functions {
namespace {

constexpr std::string_view kKind = "secret";
constexpr std::string_view kArnPrefix = "arn:aws:secretsmanager:";
constexpr size_t kSuffix = 6;

std::string key_of(const Realm& realm, std::string_view name) {
  return fmt::format("{}/{}/{}", realm.account, realm.region, name);
}

Result<Secret> decode(const Realm& realm, std::string_view text) {
  TRY(Json json, parse_json(text));
  Secret secret{.realm = realm};
  TRY(secret.name, json_string(json, "name"));
  TRY(secret.suffix, json_string(json, "suffix"));
  TRY(secret.description, json_string(json, "description"));
  TRY(secret.value, json_string(json, "value"));
  TRY(secret.version_id, json_string(json, "version"));
  TRY(int64_t created, json_int(json, "created"));
  TRY(int64_t changed, json_int(json, "changed"));
  secret.created = from_unix_nanoseconds(created);
  secret.changed = from_unix_nanoseconds(changed);
  return secret;
}

Result<std::optional<Secret>> find_by_name(const Catalog& catalog, const Realm& realm,
                                           std::string_view name) {
  TRY(auto text, catalog.document(kKind, key_of(realm, name)));
  if (!text) return std::optional<Secret>();
  TRY(Secret secret, decode(realm, *text));
  return std::optional(std::move(secret));
}

}  // namespace

std::string Secret::arn() const {
  return fmt::format("{}{}:{}:secret:{}-{}", kArnPrefix, realm.region, realm.account, name, suffix);
}

Result<std::optional<Secret>> find_secret(const Catalog& catalog, const Realm& realm, std::string_view id) {
  if (!id.starts_with(kArnPrefix)) return find_by_name(catalog, realm, id);
  // region:account:secret:NAME-SUFFIX
  std::string_view rest = id.substr(kArnPrefix.size());
  Realm own;
  for (std::string* part : {&own.region, &own.account}) {
    size_t colon = rest.find(':');
    if (colon == rest.npos) return std::optional<Secret>();
    *part = std::string(rest.substr(0, colon));
    rest.remove_prefix(colon + 1);
  }
  if (!rest.starts_with("secret:")) return std::optional<Secret>();
  rest.remove_prefix(7);
  TRY(auto partial, find_by_name(catalog, own, rest));
  if (partial || rest.size() <= kSuffix + 1 || rest[rest.size() - kSuffix - 1] != '-') return partial;
  std::string_view suffix = rest.substr(rest.size() - kSuffix);
  TRY(auto whole, find_by_name(catalog, own, rest.substr(0, rest.size() - kSuffix - 1)));
  if (whole && whole->suffix != suffix) whole.reset();
  return whole;
}

Result<void> keep_secret(Catalog& catalog, const Secret& secret) {
  Json json{{"name", secret.name},
            {"suffix", secret.suffix},
            {"description", secret.description},
            {"value", secret.value},
            {"version", secret.version_id},
            {"created", to_unix_nanoseconds(secret.created)},
            {"changed", to_unix_nanoseconds(secret.changed)}};
  return catalog.put_document({std::string(kKind), key_of(secret.realm, secret.name), to_json(json)});
}

Result<void> remove_secret(Catalog& catalog, const Secret& secret) {
  TRY([[maybe_unused]] bool was_there, catalog.remove_document(kKind, key_of(secret.realm, secret.name)));
  return {};
}

Result<std::vector<Secret>> list_secrets(const Catalog& catalog, const Realm& realm) {
  std::string prefix = key_of(realm, "");
  std::vector<Secret> secrets;
  TRY(auto documents, catalog.documents(kKind));
  for (const KeptDocument& document : documents) {
    if (!document.name.starts_with(prefix)) continue;
    TRY(Secret secret, decode(realm, document.text));
    secrets.push_back(std::move(secret));
  }
  return secrets;
}

}  // namespace berth::functions
