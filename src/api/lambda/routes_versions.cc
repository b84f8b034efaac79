// Versions and aliases.
#include <algorithm>

#include "api/lambda/function_json.h"
#include "api/lambda/function_state.h"
#include "api/lambda/router.h"
#include "base/format.h"
#include "base/json.h"

namespace berth::api::lambda {
namespace {

using functions::Alias;
using functions::FunctionEntry;
using functions::FunctionSettings;

AwsResult<Reply> publish_version(Call& call) {
  TRY(Json request, call.json());
  TRY(const FunctionEntry* entry, call.function());
  CHECK(refuse_publish_to(request));
  TRY(auto sha, text_member(request, "CodeSha256"));
  if (sha && !sha->empty() && *sha != entry->latest()->code_sha256) {
    return aws::invalid_parameter(fmt::format(
        "CodeSHA256 ({}) is different from current CodeSHA256 in $LATEST ({}). Please try again with "
        "the CodeSHA256 in $LATEST.",
        *sha, entry->latest()->code_sha256));
  }
  TRY(auto revision, text_member(request, "RevisionId"));
  if (revision && *revision != entry->latest()->revision_id) {
    return AwsError{
        412, "PreconditionFailedException",
        "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias "
        "API to retrieve the latest Revision Id"};
  }
  TRY(auto description, text_member(request, "Description"));
  TRY(auto version, call.catalog().publish(entry->realm(), entry->name(), description));
  return aws::json_reply(
      201, with_base_state(call.services(), *version, configuration_json(*version, version->version)));
}

AwsResult<Reply> list_versions(Call& call) {
  TRY(const FunctionEntry* entry, call.function());
  auto versions = entry->versions();
  TRY(Page page, page_of(call, versions.size()));
  Json items = Json::array();
  for (size_t i = page.begin; i < page.end; ++i) {
    functions::FunctionVersionPtr version = versions[i]->get();
    items.push_back(configuration_json(*version, version->version, Shown::InList));
  }
  return page_reply("Versions", std::move(items), page);
}

std::string arn_of(const FunctionEntry& entry, std::string_view qualifier) {
  return fmt::format("{}:{}", functions::function_arn(entry.realm(), entry.name()), qualifier);
}

Json alias_json(const FunctionEntry& entry, const Alias& alias) {
  Json json{{"AliasArn", arn_of(entry, alias.name)},
            {"Name", alias.name},
            {"FunctionVersion", alias.version},
            {"Description", alias.description},
            {"RevisionId", alias.revision_id}};
  if (!alias.weights.empty()) json["RoutingConfig"] = {{"AdditionalVersionWeights", alias.weights}};
  return json;
}

AwsResult<void> check_version_exists(const FunctionEntry& entry, const std::string& version) {
  if (entry.version(version) != nullptr) return {};
  return functions::function_not_found(entry.realm(), entry.name(), version);
}

/// Always with a fraction, as AWS shows it.
std::string shown_weight(const Json& weight) {
  std::string text = weight.dump();
  return weight.is_number_integer() ? text + ".0" : text;
}

AwsResult<void> read_weights(const FunctionEntry& entry, const Json& weights, Alias& alias) {
  alias.weights.clear();
  if (weights.size() > 1) {
    return aws::invalid_parameter("Number of items in AdditionalVersionWeights cannot be greater than 1");
  }
  for (const auto& [version, weight] : weights.items()) {
    if (!functions::is_version_number(version)) {
      return aws::validation_exception(
          functions::validation_error(
              fmt::format("{{{}={}}}", version.substr(0, 64), shown_weight(weight)),
              "routingConfig.additionalVersionWeights",
              "Map keys must satisfy constraint: [Member must have length less than or "
              "equal to 1024, Member must have length greater than or equal to 1, Member "
              "must satisfy regular expression pattern: [0-9]+]")
              .message());
    }
    if (!weight.is_number() || weight.get<double>() < 0 || weight.get<double>() > 1) {
      return aws::validation_exception(
          functions::validation_error(
              fmt::format("{{{}={}}}", version, shown_weight(weight)),
              "routingConfig.additionalVersionWeights",
              "Map value must satisfy constraint: [Member must have value less than or "
              "equal to 1.0, Member must have value greater than or equal to 0.0, Member "
              "must not be null]")
              .message());
    }
    if (version == alias.version) {
      return aws::invalid_parameter(fmt::format(
          "Invalid function version {}. Function version {} is already included in routing configuration.",
          version, version));
    }
    if (alias.version == functions::latest_version) {
      return aws::invalid_parameter("$LATEST is not supported for an alias pointing to more than 1 version");
    }
    CHECK(check_version_exists(entry, version));
    alias.weights[version] = weight.get<double>();
  }
  return {};
}

AwsResult<void> apply_alias(const FunctionEntry& entry, const Json& request, Alias& alias) {
  TRY(auto version, text_member(request, "FunctionVersion"));
  if (version) {
    if (*version != functions::latest_version && !functions::is_version_number(*version)) {
      return aws::validation_exception(
          functions::validation_error(*version, "functionVersion",
                                      "Member must satisfy regular expression pattern: "
                                      "(\\$LATEST(\\.PUBLISHED)?|[0-9]+)")
              .message());
    }
    CHECK(check_version_exists(entry, *version));
    alias.version = *version;
  }
  TRY(auto description, text_member(request, "Description"));
  if (description) alias.description = *description;
  TRY(const Json* routing, object_member(request, "RoutingConfig"));
  if (routing != nullptr) {
    TRY(const Json* weights, object_member(*routing, "AdditionalVersionWeights"));
    CHECK(read_weights(entry, weights != nullptr ? *weights : Json(Json::object()), alias));
  }
  alias.revision_id = functions::new_revision_id();
  return {};
}

AwsResult<Reply> create_alias(Call& call) {
  TRY(Json request, call.json());
  TRY(auto reference, call.function_reference());
  TRY(auto version, text_member(request, "FunctionVersion"));
  const FunctionEntry* entry = call.catalog().find(reference.realm, reference.name);
  if (entry == nullptr)
    return functions::function_not_found(reference.realm, reference.name, version.value_or(""));
  Alias alias;
  TRY(auto name, text_member(request, "Name"));
  alias.name = name.value_or("");
  if (!functions::is_alias_name(alias.name)) {
    return aws::validation_exception(
        functions::validation_error(alias.name.substr(0, 256), "name",
                                    "Member must satisfy regular expression pattern: "
                                    "(?!^[0-9]+$)([a-zA-Z0-9-_]+)")
            .message());
  }
  if (member(request, "FunctionVersion") == nullptr) return missing_member("functionVersion");
  if (entry->settings().aliases.count(alias.name) != 0) {
    return aws::resource_conflict(fmt::format("Alias already exists: {}", arn_of(*entry, alias.name)));
  }
  CHECK(apply_alias(*entry, request, alias));
  CHECK(call.catalog().update_settings(entry->realm(), entry->name(), [&](FunctionSettings& settings) {
    settings.aliases[alias.name] = alias;
    return Result<void>();
  }));
  return aws::json_reply(201, alias_json(*entry, alias));
}

AwsResult<const Alias*> find_alias(Call& call, const FunctionEntry& entry) {
  auto found = entry.settings().aliases.find(call.capture(1));
  if (found == entry.settings().aliases.end()) {
    return aws::resource_not_found(fmt::format("Cannot find alias arn: {}", arn_of(entry, call.capture(1))));
  }
  return &found->second;
}

AwsResult<Reply> list_aliases(Call& call) {
  TRY(const FunctionEntry* entry, call.function());
  std::string_view version = call.query("FunctionVersion");
  std::vector<const Alias*> aliases;
  for (const auto& [name, alias] : entry->settings().aliases) {
    bool wanted =
        version.empty() || alias.version == version || alias.weights.count(std::string(version)) != 0;
    if (wanted) aliases.push_back(&alias);
  }
  TRY(Page page, page_of(call, aliases.size()));
  Json items = Json::array();
  for (size_t i = page.begin; i < page.end; ++i) items.push_back(alias_json(*entry, *aliases[i]));
  return page_reply("Aliases", std::move(items), page);
}

AwsResult<Reply> get_alias(Call& call) {
  TRY(const FunctionEntry* entry, call.function());
  TRY(const Alias* alias, find_alias(call, *entry));
  return aws::json_reply(200, alias_json(*entry, *alias));
}

AwsResult<Reply> update_alias(Call& call) {
  TRY(Json request, call.json());
  TRY(const FunctionEntry* entry, call.function());
  auto found = entry->settings().aliases.find(call.capture(1));
  if (found == entry->settings().aliases.end()) {
    return aws::resource_not_found(fmt::format("Alias not found: {}", arn_of(*entry, call.capture(1))));
  }
  const Alias* held = &found->second;
  TRY(auto revision, text_member(request, "RevisionId"));
  if (revision && *revision != held->revision_id) {
    return AwsError{
        412, "PreconditionFailedException",
        "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias "
        "API to retrieve the latest Revision Id"};
  }
  Alias alias = *held;
  CHECK(apply_alias(*entry, request, alias));
  CHECK(call.catalog().update_settings(entry->realm(), entry->name(), [&](FunctionSettings& settings) {
    settings.aliases[alias.name] = alias;
    return Result<void>();
  }));
  return aws::json_reply(200, alias_json(*entry, alias));
}

/// Its function URL stays, and leads nowhere until there is such an alias again.
AwsResult<Reply> delete_alias(Call& call) {
  TRY(const FunctionEntry* entry, call.function());
  const std::string& name = call.capture(1);
  if (entry->settings().aliases.count(name) == 0) return aws::empty_reply(204);
  CHECK(call.catalog().update_settings(entry->realm(), entry->name(), [&](FunctionSettings& settings) {
    settings.aliases.erase(name);
    settings.policies.erase(name);
    settings.event_invoke.erase(name);
    settings.provisioned.erase(name);
    return Result<void>();
  }));
  return aws::empty_reply(204);
}

constexpr std::string_view aliases_path = "/2015-03-31/functions/{}/aliases";
constexpr std::string_view alias_path = "/2015-03-31/functions/{}/aliases/{}";
constexpr Operation operations[] = {
    {.name = "PublishVersion",
     .method = "POST",
     .pattern = "/2015-03-31/functions/{}/versions",
     .answer = publish_version},
    {.name = "ListVersionsByFunction",
     .method = "GET",
     .pattern = "/2015-03-31/functions/{}/versions",
     .answer = list_versions},
    {.name = "CreateAlias", .method = "POST", .pattern = aliases_path, .answer = create_alias},
    {.name = "ListAliases", .method = "GET", .pattern = aliases_path, .answer = list_aliases},
    {.name = "GetAlias", .method = "GET", .pattern = alias_path, .answer = get_alias},
    {.name = "UpdateAlias", .method = "PUT", .pattern = alias_path, .answer = update_alias},
    {.name = "DeleteAlias", .method = "DELETE", .pattern = alias_path, .answer = delete_alias},
};

}  // namespace

std::span<const Operation> version_operations() {
  return operations;
}

}  // namespace berth::api::lambda
