// Code signing configurations, which are kept and shown but not enforced, how published versions scale, and
// the operations that berth does not have, which say so.
#include "api/lambda/function_json.h"
#include "api/lambda/router.h"
#include "base/format.h"
#include "base/id.h"
#include "base/json.h"

namespace berth::api::lambda {
namespace {

using functions::FunctionEntry;
using functions::FunctionSettings;
using functions::FunctionVersionPtr;

constexpr std::string_view kind = signing_config_kind;

AwsResult<Json> find_config(Call& call, const std::string& arn) {
  TRY(auto text, call.catalog().document(kind, arn));
  if (!text) return no_signing_config(arn);
  TRY(Json config, parse_json(*text));
  return config;
}

AwsResult<void> apply_config(const Json& request, Json& config) {
  TRY(auto description, text_member(request, "Description"));
  if (description) config["Description"] = *description;
  if (const Json* publishers = member(request, "AllowedPublishers"))
    config["AllowedPublishers"] = *publishers;
  if (const Json* policies = member(request, "CodeSigningPolicies"))
    config["CodeSigningPolicies"] = *policies;
  config["LastModified"] = aws::lambda_time(to_unix_nanoseconds(now()));
  return {};
}

Json shown(Json config) {
  config.erase("Tags");
  return config;
}

AwsResult<Reply> keep_config(Call& call, const Json& config, int status) {
  CHECK(call.catalog().put_document(
      {std::string(kind), config["CodeSigningConfigArn"].get<std::string>(), to_json(config)}));
  return aws::json_reply(status, {{"CodeSigningConfig", shown(config)}});
}

AwsResult<Reply> create_config(Call& call) {
  TRY(Json request, call.json());
  if (member(request, "AllowedPublishers") == nullptr) return missing_member("allowedPublishers");
  std::string id = "csc-" + random_hex(16).substr(0, 17);
  Json config{{"CodeSigningConfigId", id},
              {"CodeSigningConfigArn", fmt::format("arn:aws:lambda:{}:{}:code-signing-config:{}",
                                                   call.realm().region, call.realm().account, id)},
              {"CodeSigningPolicies", {{"UntrustedArtifactOnDeployment", "Warn"}}}};
  CHECK(apply_config(request, config));
  TRY(auto tags, read_tags(request));
  if (!tags.empty()) config["Tags"] = tags;
  return keep_config(call, config, 201);
}

AwsResult<Reply> get_config(Call& call) {
  TRY(Json config, find_config(call, call.capture()));
  return aws::json_reply(200, {{"CodeSigningConfig", shown(std::move(config))}});
}

AwsResult<Reply> update_config(Call& call) {
  TRY(Json request, call.json());
  TRY(Json config, find_config(call, call.capture()));
  CHECK(apply_config(request, config));
  return keep_config(call, config, 200);
}

std::vector<const FunctionEntry*> users_of(Call& call, const std::string& arn) {
  auto entries = call.catalog().list_all();
  std::erase_if(entries,
                [&](const FunctionEntry* entry) { return entry->settings().code_signing_config != arn; });
  return entries;
}

AwsResult<Reply> delete_config(Call& call) {
  TRY([[maybe_unused]] Json config, find_config(call, call.capture()));
  if (!users_of(call, call.capture()).empty()) {
    return aws::resource_conflict("The code signing configuration is in use by functions.");
  }
  CHECK(call.catalog().remove_document(kind, call.capture()));
  return aws::empty_reply(204);
}

AwsResult<Reply> list_configs(Call& call) {
  TRY(auto documents, call.catalog().documents(kind));
  TRY(Page page, page_of(call, documents.size()));
  Json items = Json::array();
  for (size_t i = page.begin; i < page.end; ++i) {
    TRY(Json config, parse_json(documents[i].text));
    items.push_back(shown(std::move(config)));
  }
  return page_reply("CodeSigningConfigs", std::move(items), page);
}

AwsResult<Reply> list_config_functions(Call& call) {
  TRY([[maybe_unused]] Json config, find_config(call, call.capture()));
  auto users = users_of(call, call.capture());
  TRY(Page page, page_of(call, users.size()));
  Json items = Json::array();
  for (size_t i = page.begin; i < page.end; ++i) {
    items.push_back(functions::function_arn(users[i]->realm(), users[i]->name()));
  }
  return page_reply("FunctionArns", std::move(items), page);
}

AwsResult<Reply> get_function_config(Call& call) {
  TRY(const FunctionEntry* entry, call.function());
  Json body{{"FunctionName", entry->name()}};
  if (!entry->settings().code_signing_config.empty())
    body["CodeSigningConfigArn"] = entry->settings().code_signing_config;
  return aws::json_reply(200, body);
}

AwsResult<Reply> set_function_config(Call& call, const std::string& arn) {
  TRY(const FunctionEntry* entry, call.function());
  CHECK(call.catalog().update_settings(entry->realm(), entry->name(), [&](FunctionSettings& settings) {
    settings.code_signing_config = arn;
    return Result<void>();
  }));
  return arn.empty() ? aws::empty_reply(204)
                     : aws::json_reply(200, {{"CodeSigningConfigArn", arn}, {"FunctionName", entry->name()}});
}

AwsResult<Reply> put_function_config(Call& call) {
  TRY(Json request, call.json());
  TRY(auto arn, text_member(request, "CodeSigningConfigArn"));
  CHECK(check_code_signing_config(call, arn.value_or("")));
  return set_function_config(call, *arn);
}

AwsResult<Reply> delete_function_config(Call& call) {
  return set_function_config(call, "");
}

// --- how a published version scales: without capacity providers, of its ordinary sandboxes

constexpr int64_t most_environments = 15'000;

struct Scaled {
  const FunctionEntry* entry = nullptr;
  std::string version;
  std::string arn() const {
    return functions::function_arn(entry->realm(), entry->name()).append(":").append(version);
  }
};

/// The published version of the query; $LATEST.PUBLISHED is the newest.
AwsResult<Scaled> scaled(Call& call) {
  std::string qualifier(call.query("Qualifier"));
  bool newest = qualifier == "$LATEST.PUBLISHED";
  if (!newest && !functions::is_version_number(qualifier)) {
    return aws::validation_exception(
        functions::validation_error(
            qualifier.empty() ? "null" : qualifier.substr(0, 128), "qualifier",
            "Member must satisfy regular expression pattern: (\\$LATEST\\.PUBLISHED|[0-9]+)")
            .message());
  }
  auto reference = functions::parse_function_reference(call.capture(), call.realm());
  if (!reference) return aws::validation_exception(reference.error().message());
  const FunctionEntry* entry = call.catalog().find(reference->realm, reference->name);
  FunctionVersionPtr version;
  if (entry != nullptr) version = newest ? entry->newest_published() : entry->version(qualifier);
  if (!version) return functions::function_not_found(reference->realm, reference->name, qualifier);
  return Scaled{.entry = entry, .version = version->version};
}

Json scaling_json(const functions::ScalingConfig& config) {
  Json json = Json::object();
  if (config.least) json["MinExecutionEnvironments"] = *config.least;
  if (config.most) json["MaxExecutionEnvironments"] = *config.most;
  return json;
}

AwsResult<functions::ScalingConfig> read_scaling(Call& call) {
  TRY(Json request, call.json());
  functions::ScalingConfig config;
  const Json* given = member(request, "FunctionScalingConfig");
  if (given == nullptr) return config;
  if (!given->is_object())
    return AwsError{400, "SerializationException", "FunctionScalingConfig must be an object"};
  TRY(auto least, number_member(*given, "MinExecutionEnvironments"));
  TRY(auto most, number_member(*given, "MaxExecutionEnvironments"));
  if (least) {
    CHECK(check_range(*least, "functionScalingConfig.minExecutionEnvironments", 0, most_environments));
    config.least = static_cast<uint32_t>(*least);
  }
  if (most) {
    CHECK(check_range(*most, "functionScalingConfig.maxExecutionEnvironments", 0, most_environments));
    config.most = static_cast<uint32_t>(*most);
  }
  if (least && most && *least > *most) {
    return aws::invalid_parameter(
        fmt::format("MinExecutionEnvironments ({}) must not be greater than MaxExecutionEnvironments ({}).",
                    *least, *most));
  }
  return config;
}

AwsResult<Reply> put_scaling(Call& call) {
  TRY(Scaled target, scaled(call));
  TRY(auto config, read_scaling(call));
  if (functions::is_per_tenant(*target.entry->latest()))
    return aws::invalid_parameter("Scaling is not supported for functions with TenancyConfig.");
  if (config.least.value_or(0) > call.limits().concurrent_executions) {
    return aws::invalid_parameter(
        fmt::format("MinExecutionEnvironments is greater than the account's concurrency [{}].",
                    call.limits().concurrent_executions));
  }
  auto set = [&](FunctionSettings& settings) -> Result<void> {
    settings.scaling.erase(target.version);
    if (config.least || config.most) settings.scaling[target.version] = config;
    return {};
  };
  CHECK(call.catalog().update_settings(target.entry->realm(), target.entry->name(), set));
  return aws::json_reply(202, {{"FunctionState", "Active"}});
}

AwsResult<Reply> get_scaling(Call& call) {
  TRY(Scaled target, scaled(call));
  Json body{{"FunctionArn", target.arn()}};
  auto held = target.entry->settings().scaling.find(target.version);
  if (held != target.entry->settings().scaling.end()) {
    body["RequestedFunctionScalingConfig"] = scaling_json(held->second);
    body["AppliedFunctionScalingConfig"] = scaling_json(held->second);
  }
  return aws::json_reply(200, body);
}

AwsResult<Reply> unsupported(Call&) {
  return aws::invalid_parameter(
      "This operation is not supported here: there are no capacity providers. Use functions without a time "
      "limit "
      "instead.");
}

constexpr std::string_view configs_path = "/2020-04-22/code-signing-configs";
constexpr std::string_view config_path = "/2020-04-22/code-signing-configs/{}";
constexpr std::string_view function_path = "/2020-06-30/functions/{}/code-signing-config";
constexpr std::string_view providers = "/2025-11-30/capacity-providers";
constexpr std::string_view provider = "/2025-11-30/capacity-providers/{}";
constexpr std::string_view scaling = "/2025-11-30/functions/{}/function-scaling-config";
constexpr Operation operations[] = {
    {.name = "CreateCodeSigningConfig", .method = "POST", .pattern = configs_path, .answer = create_config},
    {.name = "ListCodeSigningConfigs", .method = "GET", .pattern = configs_path, .answer = list_configs},
    {.name = "GetCodeSigningConfig", .method = "GET", .pattern = config_path, .answer = get_config},
    {.name = "UpdateCodeSigningConfig", .method = "PUT", .pattern = config_path, .answer = update_config},
    {.name = "DeleteCodeSigningConfig", .method = "DELETE", .pattern = config_path, .answer = delete_config},
    {.name = "ListFunctionsByCodeSigningConfig",
     .method = "GET",
     .pattern = "/2020-04-22/code-signing-configs/{}/functions",
     .answer = list_config_functions},
    {.name = "GetFunctionCodeSigningConfig",
     .method = "GET",
     .pattern = function_path,
     .answer = get_function_config},
    {.name = "PutFunctionCodeSigningConfig",
     .method = "PUT",
     .pattern = function_path,
     .answer = put_function_config},
    {.name = "DeleteFunctionCodeSigningConfig",
     .method = "DELETE",
     .pattern = function_path,
     .answer = delete_function_config},
    {.name = "CreateCapacityProvider", .method = "POST", .pattern = providers, .answer = unsupported},
    {.name = "ListCapacityProviders", .method = "GET", .pattern = providers, .answer = unsupported},
    {.name = "GetCapacityProvider", .method = "GET", .pattern = provider, .answer = unsupported},
    {.name = "UpdateCapacityProvider", .method = "PUT", .pattern = provider, .answer = unsupported},
    {.name = "DeleteCapacityProvider", .method = "DELETE", .pattern = provider, .answer = unsupported},
    {.name = "ListFunctionVersionsByCapacityProvider",
     .method = "GET",
     .pattern = "/2025-11-30/capacity-providers/{}/function-versions",
     .answer = unsupported},
    {.name = "GetFunctionScalingConfig", .method = "GET", .pattern = scaling, .answer = get_scaling},
    {.name = "PutFunctionScalingConfig", .method = "PUT", .pattern = scaling, .answer = put_scaling},
};

}  // namespace

AwsResult<void> check_code_signing_config(Call& call, const std::string& arn) {
  if (find_config(call, arn)) return {};
  return AwsError{404, "CodeSigningConfigNotFoundException",
                  fmt::format("The code signing configuration cannot be found. Check that the provided "
                              "configuration is not deleted: {}.",
                              arn)};
}

AwsError no_signing_config(std::string_view arn) {
  AwsError error =
      aws::resource_not_found(fmt::format("The Lambda code signing configuration {} can not be found.", arn));
  return error;
}

std::map<std::string, std::string> signing_config_tags(const Json& config) {
  auto tags = config.find("Tags");
  if (tags == config.end()) return {};
  return tags->get<std::map<std::string, std::string>>();
}

std::span<const Operation> rare_operations() {
  return operations;
}

}  // namespace berth::api::lambda
