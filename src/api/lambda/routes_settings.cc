// Settings beside versions: tags, concurrency, provisioned concurrency, runtime management, recursion, the
// account.
#include <algorithm>

#include "api/lambda/function_json.h"
#include "api/lambda/router.h"
#include "base/format.h"
#include "base/json.h"
#include "functions/invocation.h"

namespace berth::api::lambda {
namespace {

using functions::FunctionEntry;
using functions::FunctionSettings;
using functions::ProvisionedConfig;

constexpr uint32_t always_unreserved = 100;

using Change = std::function<void(FunctionSettings&)>;
AwsResult<void> change(Call& call, const FunctionEntry& entry, const Change& change) {
  CHECK(call.catalog().update_settings(entry.realm(), entry.name(), [&](FunctionSettings& settings) {
    change(settings);
    return Result<void>();
  }));
  return {};
}

std::string arn_of(const FunctionEntry& entry, std::string_view qualifier) {
  std::string arn = functions::function_arn(entry.realm(), entry.name());
  return qualifier.empty() ? arn : arn.append(":").append(qualifier);
}

// --- tags: of functions and event source mappings

struct Tagged {
  const FunctionEntry* entry = nullptr;
  const functions::EventSourceMapping* mapping = nullptr;
};

AwsResult<Tagged> tagged(Call& call) {
  const std::string& arn = call.capture();
  constexpr std::string_view mapping_part = ":event-source-mapping:";
  if (size_t at = arn.find(mapping_part); at != std::string::npos) {
    const auto* mapping = call.catalog().find_mapping(arn.substr(at + mapping_part.size()));
    if (mapping == nullptr || mapping->arn() != arn)
      return aws::resource_not_found("The resource you requested does not exist.");
    return Tagged{.mapping = mapping};
  }
  TRY(auto reference, call.function_reference());
  if (!arn.starts_with("arn:")) {
    return aws::validation_exception(
        functions::validation_error(
            arn, "resource",
            "Member must satisfy regular expression pattern: "
            "arn:(aws[a-zA-Z-]*):lambda:[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}:\\d{12}:"
            "(function:[a-zA-Z0-9-_]+(:(\\$LATEST|[a-zA-Z0-9-_]+))?|"
            "code-signing-config:csc-[a-z0-9]{17}|event-source-mapping:[0-9a-fA-F]{8}-"
            "[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12})")
            .message());
  }
  if (!reference.qualifier.empty()) {
    return aws::invalid_parameter(
        "Tags on function aliases and versions are not supported. Please specify a function ARN.");
  }
  TRY(const FunctionEntry* entry, call.function());
  return Tagged{.entry = entry};
}

AwsResult<void> change_tags(Call& call,
                            const std::function<void(std::map<std::string, std::string>&)>& change_map) {
  TRY(Tagged target, tagged(call));
  if (target.entry != nullptr) {
    return change(call, *target.entry, [&](FunctionSettings& settings) { change_map(settings.tags); });
  }
  functions::EventSourceMapping mapping = *target.mapping;
  change_map(mapping.tags);
  CHECK(call.catalog().put_mapping(std::move(mapping)));
  return {};
}

AwsResult<Reply> list_tags(Call& call) {
  TRY(Tagged target, tagged(call));
  const auto& tags = target.entry != nullptr ? target.entry->settings().tags : target.mapping->tags;
  return aws::json_reply(200, {{"Tags", tags}});
}

AwsResult<Reply> tag_resource(Call& call) {
  TRY(Json request, call.json());
  TRY(auto tags, read_tags(request));
  if (tags.empty()) return aws::invalid_parameter("An error occurred and the request cannot be processed.");
  TRY(Tagged target, tagged(call));
  auto merged = target.entry != nullptr ? target.entry->settings().tags : target.mapping->tags;
  for (const auto& [key, value] : tags) merged[key] = value;
  if (merged.size() > 50) return aws::invalid_parameter("Number of tags exceeds resource tag limit.");
  CHECK(change_tags(call, [&](auto& held) { held = merged; }));
  return aws::empty_reply(204);
}

AwsResult<Reply> untag_resource(Call& call) {
  auto keys = call.exchange().query().all("tagKeys");
  if (keys.empty()) {
    return aws::validation_exception(
        functions::validation_error("null", "tagKeys", "Member must not be null").message());
  }
  CHECK(change_tags(call, [&](auto& held) {
    for (std::string_view key : keys) held.erase(std::string(key));
  }));
  return aws::empty_reply(204);
}

// --- reserved concurrency

/// Everything reserved in the realm but by this function.
uint32_t reserved_by_others(Call& call, const FunctionEntry& entry) {
  uint32_t total = 0;
  for (const FunctionEntry* other : call.catalog().list(entry.realm())) {
    if (other->name() != entry.name()) total += other->settings().reserved_concurrency.value_or(0);
  }
  return total;
}

AwsResult<Reply> put_concurrency(Call& call) {
  TRY(Json request, call.json());
  TRY(const FunctionEntry* entry, call.function());
  TRY(auto wanted, number_member(request, "ReservedConcurrentExecutions"));
  if (!wanted) {
    return aws::validation_exception(
        functions::validation_error("null", "reservedConcurrentExecutions", "Member must not be null")
            .message());
  }
  CHECK(check_range(*wanted, "reservedConcurrentExecutions", 0, INT32_MAX));
  int64_t left = static_cast<int64_t>(call.limits().concurrent_executions) - reserved_by_others(call, *entry);
  if (*wanted > 0 && left - *wanted < always_unreserved) {
    return aws::invalid_parameter(
        fmt::format("Specified ReservedConcurrentExecutions for function decreases account's "
                    "UnreservedConcurrentExecution below "
                    "its minimum value of [{}].",
                    always_unreserved));
  }
  uint64_t provisioned = 0;
  for (const auto& [qualifier, config] : entry->settings().provisioned) provisioned += config.requested;
  if (provisioned > static_cast<uint64_t>(*wanted)) {
    return aws::invalid_parameter(fmt::format(
        "ReservedConcurrentExecutions ({}) is lower than what is provisioned ({})", *wanted, provisioned));
  }
  CHECK(change(call, *entry, [&](FunctionSettings& settings) {
    settings.reserved_concurrency = static_cast<uint32_t>(*wanted);
  }));
  return aws::json_reply(200, {{"ReservedConcurrentExecutions", *wanted}});
}

AwsResult<Reply> get_concurrency(Call& call) {
  TRY(const FunctionEntry* entry, call.function());
  Json body = Json::object();
  if (entry->settings().reserved_concurrency) {
    body["ReservedConcurrentExecutions"] = *entry->settings().reserved_concurrency;
  }
  return aws::json_reply(200, body);
}

AwsResult<Reply> delete_concurrency(Call& call) {
  TRY(const FunctionEntry* entry, call.function());
  CHECK(change(call, *entry, [](FunctionSettings& settings) { settings.reserved_concurrency.reset(); }));
  return aws::empty_reply(204);
}

// --- provisioned concurrency

AwsResult<std::string> provisionable_qualifier(Call& call, const FunctionEntry& entry) {
  TRY(std::string qualifier, call.qualifier());
  if (qualifier.empty()) {
    return aws::validation_exception(
        functions::validation_error("null", "qualifier", "Member must not be null").message());
  }
  if (qualifier == functions::latest_version) {
    return aws::invalid_parameter(
        "Provisioned Concurrency Configs cannot be applied to unpublished function versions.");
  }
  if (functions::is_per_tenant(*entry.latest()))
    return aws::invalid_parameter(
        "Provisioned concurrency is not supported for functions with TenancyConfig.");
  if (!call.catalog().main_version(entry, qualifier)) {
    return functions::is_version_number(qualifier)
               ? aws::resource_not_found(fmt::format("Function not found: {}", arn_of(entry, qualifier)))
               : aws::resource_not_found(fmt::format("Cannot find alias arn: {}", arn_of(entry, qualifier)));
  }
  return qualifier;
}

Json provisioned_json(Call& call, const FunctionEntry& entry, const std::string& qualifier,
                      const ProvisionedConfig& config) {
  functions::Invoker::Provisioned state;
  if (auto version = call.catalog().main_version(entry, qualifier)) {
    state = call.services().invoker.provisioned(entry.realm(), entry.name(), (*version)->version);
  }
  std::string_view status = "IN_PROGRESS";
  // Those that work are allocated as well: READY does not depend on what is asked of them.
  if (state.allocated >= config.requested) status = "READY";
  if (!state.failure.empty()) status = "FAILED";
  Json json{{"RequestedProvisionedConcurrentExecutions", config.requested},
            {"AvailableProvisionedConcurrentExecutions", std::min(state.available, config.requested)},
            {"AllocatedProvisionedConcurrentExecutions", std::min(state.allocated, config.requested)},
            {"Status", status},
            {"LastModified", aws::lambda_time(to_unix_nanoseconds(config.modified))}};
  if (!state.failure.empty()) json["StatusReason"] = state.failure;
  return json;
}

AwsResult<Reply> put_provisioned(Call& call) {
  TRY(Json request, call.json());
  TRY(const FunctionEntry* entry, call.function());
  TRY(auto wanted, number_member(request, "ProvisionedConcurrentExecutions"));
  if (!wanted) {
    return aws::validation_exception(
        functions::validation_error("null", "provisionedConcurrentExecutions", "Member must not be null")
            .message());
  }
  CHECK(check_range(*wanted, "provisionedConcurrentExecutions", 1, INT32_MAX));
  TRY(std::string qualifier, provisionable_qualifier(call, *entry));
  const auto& settings = entry->settings();
  if (settings.reserved_concurrency && *wanted > *settings.reserved_concurrency) {
    return aws::invalid_parameter(
        "Requested Provisioned Concurrency should not be greater than the reservedConcurrentExecution for "
        "function");
  }
  if (*wanted > call.limits().concurrent_executions) {
    return aws::invalid_parameter(fmt::format(
        "Specified ConcurrentExecutions for function is greater than account's unreserved concurrency [{}].",
        call.limits().concurrent_executions));
  }
  ProvisionedConfig config{.requested = static_cast<uint32_t>(*wanted), .modified = now()};
  CHECK(change(call, *entry, [&](FunctionSettings& changed) { changed.provisioned[qualifier] = config; }));
  Json body{{"RequestedProvisionedConcurrentExecutions", config.requested},
            {"AvailableProvisionedConcurrentExecutions", 0},
            {"AllocatedProvisionedConcurrentExecutions", 0},
            {"Status", "IN_PROGRESS"},
            {"LastModified", aws::lambda_time(to_unix_nanoseconds(config.modified))}};
  return aws::json_reply(202, body);
}

AwsError no_provisioned() {
  return {404, "ProvisionedConcurrencyConfigNotFoundException",
          "No Provisioned Concurrency Config found for this function"};
}

AwsResult<Reply> list_provisioned(Call& call) {
  TRY(const FunctionEntry* entry, call.function());
  std::vector<std::pair<std::string, ProvisionedConfig>> configs(entry->settings().provisioned.begin(),
                                                                 entry->settings().provisioned.end());
  TRY(Page page, page_of(call, configs.size()));
  Json items = Json::array();
  for (size_t i = page.begin; i < page.end; ++i) {
    Json item = provisioned_json(call, *entry, configs[i].first, configs[i].second);
    item["FunctionArn"] = arn_of(*entry, configs[i].first);
    items.push_back(std::move(item));
  }
  return page_reply("ProvisionedConcurrencyConfigs", std::move(items), page);
}

AwsResult<Reply> get_provisioned(Call& call) {
  if (call.query("List") == "ALL") return list_provisioned(call);
  TRY(const FunctionEntry* entry, call.function());
  TRY(std::string qualifier, provisionable_qualifier(call, *entry));
  auto found = entry->settings().provisioned.find(qualifier);
  if (found == entry->settings().provisioned.end()) return no_provisioned();
  return aws::json_reply(200, provisioned_json(call, *entry, qualifier, found->second));
}

AwsResult<Reply> delete_provisioned(Call& call) {
  TRY(const FunctionEntry* entry, call.function());
  TRY(std::string qualifier, provisionable_qualifier(call, *entry));
  CHECK(change(call, *entry, [&](FunctionSettings& settings) { settings.provisioned.erase(qualifier); }));
  return aws::empty_reply(204);
}

// --- runtime management, recursion

AwsResult<Reply> put_runtime_management(Call& call) {
  TRY(Json request, call.json());
  TRY(const FunctionEntry* entry, call.function());
  TRY(std::string qualifier, call.qualifier());
  CHECK(call.catalog().main_version(*entry, qualifier));
  TRY(auto update, text_member(request, "UpdateRuntimeOn"));
  CHECK(check_enum(update.value_or(""), "updateRuntimeOn", {"Auto", "Manual", "FunctionUpdate"}));
  TRY(auto arn, text_member(request, "RuntimeVersionArn"));
  if (*update == "Manual" && !arn) {
    return aws::invalid_parameter("RuntimeVersionArn is required when updateRuntimeOn is Manual");
  }
  Json kept{{"UpdateRuntimeOn", *update}};
  if (arn) kept["RuntimeVersionArn"] = *arn;
  std::string text = to_json(kept);
  CHECK(change(call, *entry,
               [&](FunctionSettings& settings) { settings.runtime_management[qualifier] = text; }));
  kept["FunctionArn"] = arn_of(*entry, qualifier);
  return aws::json_reply(200, kept);
}

AwsResult<Reply> get_runtime_management(Call& call) {
  TRY(const FunctionEntry* entry, call.function());
  TRY(std::string qualifier, call.qualifier());
  CHECK(call.catalog().main_version(*entry, qualifier));
  Json body{{"UpdateRuntimeOn", "Auto"}};
  auto held = entry->settings().runtime_management.find(qualifier);
  if (held != entry->settings().runtime_management.end()) {
    TRY(body, parse_json(held->second));
  }
  body["FunctionArn"] = arn_of(*entry, qualifier);
  return aws::json_reply(200, body);
}

AwsResult<Reply> put_recursion(Call& call) {
  TRY(Json request, call.json());
  TRY(const FunctionEntry* entry, call.function());
  TRY(auto loop, text_member(request, "RecursiveLoop"));
  CHECK(check_enum(loop.value_or(""), "recursiveLoop", {"Terminate", "Allow"}));
  CHECK(change(call, *entry, [&](FunctionSettings& settings) { settings.recursive_loop = *loop; }));
  return aws::json_reply(200, {{"RecursiveLoop", *loop}});
}

AwsResult<Reply> get_recursion(Call& call) {
  TRY(const FunctionEntry* entry, call.function());
  return aws::json_reply(200, {{"RecursiveLoop", entry->settings().recursive_loop}});
}

// --- the account

AwsResult<Reply> account_settings(Call& call) {
  const auto& limits = call.limits();
  uint32_t reserved = 0;
  uint64_t count = 0;
  for (const FunctionEntry* entry : call.catalog().list(call.realm())) {
    reserved += entry->settings().reserved_concurrency.value_or(0);
    ++count;
  }
  return aws::json_reply(
      200,
      {{"AccountLimit",
        {{"TotalCodeSize", uint64_t{80'530'636'800}},
         {"CodeSizeUnzipped", limits.unpacked_bytes},
         {"CodeSizeZipped", limits.zip_bytes},
         {"ConcurrentExecutions", limits.concurrent_executions},
         {"UnreservedConcurrentExecutions",
          limits.concurrent_executions - std::min(reserved, limits.concurrent_executions)}}},
       {"AccountUsage", {{"TotalCodeSize", call.catalog().total_code_size()}, {"FunctionCount", count}}}});
}

constexpr std::string_view tags_path = "/2017-03-31/tags/{}";
constexpr std::string_view reserved_path = "/2017-10-31/functions/{}/concurrency";
constexpr std::string_view provisioned_path = "/2019-09-30/functions/{}/provisioned-concurrency";
constexpr std::string_view runtime_path = "/2021-07-20/functions/{}/runtime-management-config";
constexpr std::string_view recursion_path = "/2024-08-31/functions/{}/recursion-config";
constexpr Operation operations[] = {
    {.name = "ListTags", .method = "GET", .pattern = tags_path, .answer = list_tags},
    {.name = "TagResource", .method = "POST", .pattern = tags_path, .answer = tag_resource},
    {.name = "UntagResource", .method = "DELETE", .pattern = tags_path, .answer = untag_resource},
    {.name = "PutFunctionConcurrency", .method = "PUT", .pattern = reserved_path, .answer = put_concurrency},
    {.name = "DeleteFunctionConcurrency",
     .method = "DELETE",
     .pattern = reserved_path,
     .answer = delete_concurrency},
    {.name = "GetFunctionConcurrency",
     .method = "GET",
     .pattern = "/2019-09-30/functions/{}/concurrency",
     .answer = get_concurrency},
    {.name = "PutProvisionedConcurrencyConfig",
     .method = "PUT",
     .pattern = provisioned_path,
     .answer = put_provisioned},
    {.name = "GetProvisionedConcurrencyConfig",
     .method = "GET",
     .pattern = provisioned_path,
     .answer = get_provisioned},
    {.name = "DeleteProvisionedConcurrencyConfig",
     .method = "DELETE",
     .pattern = provisioned_path,
     .answer = delete_provisioned},
    {.name = "PutRuntimeManagementConfig",
     .method = "PUT",
     .pattern = runtime_path,
     .answer = put_runtime_management},
    {.name = "GetRuntimeManagementConfig",
     .method = "GET",
     .pattern = runtime_path,
     .answer = get_runtime_management},
    {.name = "PutFunctionRecursionConfig",
     .method = "PUT",
     .pattern = recursion_path,
     .answer = put_recursion},
    {.name = "GetFunctionRecursionConfig",
     .method = "GET",
     .pattern = recursion_path,
     .answer = get_recursion},
    {.name = "GetAccountSettings",
     .method = "GET",
     .pattern = "/2016-08-19/account-settings",
     .answer = account_settings},
};

}  // namespace

std::span<const Operation> setting_operations() {
  return operations;
}

}  // namespace berth::api::lambda
