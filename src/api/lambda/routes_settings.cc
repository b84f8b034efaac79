// Settings beside versions: concurrency, provisioned concurrency, runtime management, recursion, the
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
  TRY(auto reference, call.function_reference());
  if (!reference.qualifier.empty()) {
    return aws::invalid_parameter(
        "This operation is permitted on Lambda functions only. Aliases and versions do not support this "
        "operation. Please specify either a function name or an unqualified function ARN.");
  }
  const FunctionEntry* entry = call.catalog().find(reference.realm, reference.name);
  if (entry == nullptr)
    return functions::function_not_found(reference.realm, reference.name, functions::latest_version);
  TRY(auto wanted, number_member(request, "ReservedConcurrentExecutions"));
  if (!wanted) return missing_member("reservedConcurrentExecutions");
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
    return aws::invalid_parameter(
        fmt::format(" ReservedConcurrentExecutions  {} should not be lower than function's total provisioned "
                    "concurrency [{}].",
                    *wanted, provisioned));
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

struct Provisionable {
  const FunctionEntry* entry = nullptr;
  std::string qualifier;
};

/// The alias or version that the request is about, which must exist.
AwsResult<Provisionable> provisionable(Call& call, std::string_view refusal_of_latest) {
  TRY(auto reference, call.function_reference());
  const std::string& qualifier = reference.qualifier;
  if (qualifier.empty()) return missing_member("qualifier");
  if (qualifier == functions::latest_version) return aws::invalid_parameter(std::string(refusal_of_latest));
  const FunctionEntry* entry = call.catalog().find(reference.realm, reference.name);
  if (entry == nullptr || !call.catalog().main_version(*entry, qualifier)) {
    if (functions::is_version_number(qualifier))
      return functions::function_not_found(reference.realm, reference.name, qualifier);
    return aws::resource_not_found(fmt::format(
        "Cannot find alias arn: {}:{}", functions::function_arn(reference.realm, reference.name), qualifier));
  }
  if (functions::is_per_tenant(*entry->latest()))
    return aws::invalid_parameter(
        "Provisioned concurrency is not supported for functions with TenancyConfig.");
  return Provisionable{entry, qualifier};
}
constexpr std::string_view not_to_be_provisioned =
    "Provisioned Concurrency Configs cannot be applied to unpublished function versions.";
constexpr std::string_view not_provisioned =
    "The function resource provided must be an alias or a published version.";

/// A version is provisioned once: itself, or by an alias that points to it.
AwsResult<void> check_provisioned_once(Call& call, const Provisionable& target) {
  const auto& settings = target.entry->settings();
  auto version = call.catalog().main_version(*target.entry, target.qualifier);
  if (!version) return {};
  if (!functions::is_version_number(target.qualifier)) {
    if (settings.provisioned.count((*version)->version) == 0) return {};
    return aws::resource_conflict(
        "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version");
  }
  for (const auto& [name, alias] : settings.aliases) {
    if (alias.version == target.qualifier && settings.provisioned.count(name) != 0)
      return aws::resource_conflict("Version is pointed by a Provisioned Concurrency alias");
  }
  return {};
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
  TRY(auto wanted, number_member(request, "ProvisionedConcurrentExecutions"));
  if (!wanted) return missing_member("provisionedConcurrentExecutions");
  CHECK(check_range(*wanted, "provisionedConcurrentExecutions", 1, INT32_MAX));
  TRY(Provisionable target, provisionable(call, not_to_be_provisioned));
  const FunctionEntry* entry = target.entry;
  const std::string& qualifier = target.qualifier;
  CHECK(check_provisioned_once(call, target));
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
  int64_t unreserved =
      static_cast<int64_t>(call.limits().concurrent_executions) - reserved_by_others(call, *entry);
  if (!settings.reserved_concurrency && unreserved - *wanted < always_unreserved) {
    return aws::invalid_parameter(
        fmt::format("Specified ConcurrentExecutions for function decreases account's "
                    "UnreservedConcurrentExecution below its minimum value of [{}].",
                    always_unreserved));
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
  TRY(Provisionable target, provisionable(call, not_provisioned));
  const FunctionEntry* entry = target.entry;
  const std::string& qualifier = target.qualifier;
  auto found = entry->settings().provisioned.find(qualifier);
  if (found == entry->settings().provisioned.end()) return no_provisioned();
  return aws::json_reply(200, provisioned_json(call, *entry, qualifier, found->second));
}

AwsResult<Reply> delete_provisioned(Call& call) {
  TRY(Provisionable target, provisionable(call, not_provisioned));
  CHECK(change(call, *target.entry,
               [&](FunctionSettings& settings) { settings.provisioned.erase(target.qualifier); }));
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

constexpr std::string_view reserved_path = "/2017-10-31/functions/{}/concurrency";
constexpr std::string_view provisioned_path = "/2019-09-30/functions/{}/provisioned-concurrency";
constexpr std::string_view runtime_path = "/2021-07-20/functions/{}/runtime-management-config";
constexpr std::string_view recursion_path = "/2024-08-31/functions/{}/recursion-config";
constexpr Operation operations[] = {
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
