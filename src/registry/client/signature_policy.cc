// Strict reading: a rule that says something else than it means must not be taken for one that allows.
#include "registry/client/signature_policy.h"

#include <algorithm>

#include "base/format.h"
#include "base/json.h"
#include "base/wildcard.h"
#include "registry/client/signature.h"
#include "sys/file.h"

namespace berth::registry {
namespace {

constexpr size_t max_document = size_t{1} << 20;
constexpr size_t max_rules = 1000;
constexpr size_t max_keys = 64;
constexpr size_t max_key_bytes = 64 << 10;

Error invalid(std::string_view where, std::string_view what) {
  return failure(Kind::InvalidArgument, "signature policy: {}: {}", where, what);
}

Result<void> only(const Json& object, std::string_view where, std::initializer_list<std::string_view> known) {
  for (const auto& [key, value] : object.items()) {
    bool is_known = std::find(known.begin(), known.end(), key) != known.end();
    if (!is_known) return invalid(where, fmt::format("unknown member \"{}\"", key.substr(0, 100)));
  }
  return {};
}

Result<SignatureRule::Require> requirement(std::string_view text, std::string_view where) {
  if (text == "accept") return SignatureRule::Require::Accept;
  if (text == "reject") return SignatureRule::Require::Reject;
  if (text == "signed") return SignatureRule::Require::Signed;
  return invalid(where, fmt::format("\"{}\" is none of accept, reject, signed", text.substr(0, 100)));
}

Result<SignatureRule> parse_rule(const Json& object, const std::string& where, std::string_view folder) {
  if (!object.is_object()) return invalid(where, "expected an object");
  CHECK(only(object, where, {"images", "require", "keys", "identity"}));
  SignatureRule rule;
  TRY(rule.images, json_string(object, "images"));
  TRY(std::string required, json_string(object, "require"));
  TRY(rule.require, requirement(required, where));
  TRY(rule.identity, json_string(object, "identity"));
  TRY(rule.keys, json_strings(object, "keys"));
  bool is_signed = rule.require == SignatureRule::Require::Signed;
  if (rule.images.empty()) return invalid(where, "\"images\" is missing");
  if (is_signed == rule.keys.empty())
    return invalid(where, is_signed ? "\"signed\" needs \"keys\"" : "\"keys\" are for \"signed\" alone");
  if (!is_signed && !rule.identity.empty()) return invalid(where, "\"identity\" is for \"signed\" alone");
  if (rule.keys.size() > max_keys) return invalid(where, "too many keys");
  if (!rule.identity.empty()) {
    auto name = spec::Reference::parse(rule.identity);
    if (!name || !name->is_name_only()) return invalid(where, "\"identity\" is no repository's name");
    rule.identity = name->name();
  }
  for (std::string& key : rule.keys) {
    if (key.empty()) return invalid(where, "an empty path of a key");
    if (!key.starts_with('/')) key = std::string(folder) + "/" + key;
  }
  return rule;
}

}  // namespace

Result<SignaturePolicy> parse_signature_policy(std::string_view text, std::string_view folder) {
  TRY(Json document, parse_json(text, {.max_bytes = max_document, .max_depth = 8}));
  if (!document.is_object()) return invalid("document", "expected an object");
  CHECK(only(document, "document", {"default", "rules"}));
  SignaturePolicy policy;
  policy.fallback.images = "default";
  TRY(std::string fallback, json_string(document, "default"));
  TRY(policy.fallback.require, requirement(fallback, "default"));
  if (policy.fallback.require == SignatureRule::Require::Signed)
    return invalid("default", "\"signed\" needs keys: write a rule for \"*\"");
  auto rules = document.find("rules");
  if (rules == document.end()) return policy;
  if (!rules->is_array() || rules->size() > max_rules) return invalid("rules", "expected a list");
  for (const Json& object : *rules) {
    TRY(SignatureRule rule, parse_rule(object, fmt::format("rule {}", policy.rules.size() + 1), folder));
    policy.rules.push_back(std::move(rule));
  }
  return policy;
}

const SignatureRule& rule_for(const SignaturePolicy& policy, const spec::Reference& image) {
  std::string name = image.name();
  for (const SignatureRule& rule : policy.rules) {
    if (matches_wildcard(rule.images, name)) return rule;
  }
  return policy.fallback;
}

Result<SignaturePolicy> read_signature_policy(const std::string& path) {
  auto text = sys::read_file(path, max_document);
  if (!text) return std::move(text).error().in("signature policy");
  std::string folder = path.substr(0, path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
  auto policy = parse_signature_policy(*text, path.find('/') == std::string::npos ? "." : folder);
  if (!policy) return std::move(policy).error().in("signature policy", path);
  for (const SignatureRule& rule : policy->rules) {
    for (const std::string& key : rule.keys) {
      auto pem = sys::read_file(key, max_key_bytes);
      if (!pem) return std::move(pem).error().in("signature policy", path);
      auto parsed = PublicKey::parse(*pem);
      if (!parsed) return std::move(parsed).error().in("signature policy: key", key);
    }
  }
  return policy;
}

}  // namespace berth::registry
