// Functions: create, read, change, remove.
#include <algorithm>

#include "api/lambda/code_source.h"
#include "api/lambda/function_json.h"
#include "api/lambda/function_state.h"
#include "api/lambda/router.h"
#include "base/format.h"
#include "base/json.h"
#include "functions/catalog/new_name.h"
#include "functions/durable/durable_invoker.h"
#include "io/event_loop.h"

namespace berth::api::lambda {
namespace {

using functions::FunctionEntry;
using functions::FunctionReference;
using functions::FunctionVersion;
using functions::FunctionVersionPtr;

/// As AWS tells it to whoever has just asked for the change, which here is over when the answer leaves.
Json being_created(Json configuration) {
  configuration["State"] = "Pending";
  configuration["StateReason"] = "The function is being created.";
  configuration["StateReasonCode"] = "Creating";
  configuration.erase("LastUpdateStatus");
  return configuration;
}
Json being_updated(Json configuration) {
  configuration["LastUpdateStatus"] = "InProgress";
  configuration["LastUpdateStatusReason"] = "The function is being created.";
  configuration["LastUpdateStatusReasonCode"] = "Creating";
  return configuration;
}

/// The one architecture of a request, if it names any.
AwsResult<std::optional<std::string>> read_architecture(const Json& request) {
  TRY(auto architectures, texts_member(request, "Architectures"));
  if (!architectures) return std::optional<std::string>();
  std::string shown = fmt::format("[{}]", fmt::join(*architectures, ", "));
  std::string constraint;
  if (architectures->size() > 1) constraint = "Member must have length less than or equal to 1";
  if (architectures->empty()) constraint = "Member must have length greater than or equal to 1";
  if (constraint.empty() && architectures->front() != "x86_64" && architectures->front() != "arm64") {
    constraint =
        "Member must satisfy constraint: [Member must satisfy enum value set: [x86_64, arm64], Member must "
        "not be null]";
  }
  if (constraint.empty()) return std::optional(architectures->front());
  return aws::validation_exception(
      functions::validation_error(shown.substr(0, 256), "architectures", constraint).message());
}

/// AWS takes a bare name that is too long for another fault than one in an ARN.
AwsError refused_name(std::string_view name, const Error& error) {
  bool too_long = error.message().ends_with("less than or equal to 64");
  return too_long && name.find(':') == name.npos ? aws::invalid_parameter(error.message())
                                                 : aws::validation_exception(error.message());
}

AwsResult<FunctionVersion> read_new_function(Call& call, const Json& request) {
  TRY(auto name, text_member(request, "FunctionName"));
  if (!name) return missing_member("functionName");
  auto reference = functions::parse_new_function_name(*name, call.realm());
  if (!reference) return refused_name(*name, reference.error());
  if (!reference->qualifier.empty()) {
    return aws::invalid_parameter("The provided function name must not have a qualifier.");
  }
  FunctionVersion version;
  version.realm = call.realm();
  version.name = reference->name;
  TRY(auto package, text_member(request, "PackageType"));
  CHECK(check_enum(package.value_or("Zip"), "packageType", {"Zip", "Image"}));
  const Json* code = member(request, "Code");
  bool from_image = code != nullptr && code->is_object() && member(*code, "ImageUri") != nullptr;
  if (package == "Image" || (!package && from_image)) version.package = functions::PackageType::Image;
  TRY(auto architecture, read_architecture(request));
  version.architecture = architecture.value_or("x86_64");
  if (member(request, "Role") == nullptr) return missing_member("role");
  CHECK(refuse_publish_to(request));
  CHECK(apply_configuration(call, request, version));
  CHECK(apply_tenancy(request, version));
  bool zip = version.package == functions::PackageType::Zip;
  if (zip && (version.runtime.empty() || version.handler.empty())) {
    return aws::invalid_parameter(
        "Runtime and Handler are mandatory parameters for functions created with deployment packages.");
  }
  if (!zip && (!version.runtime.empty() || !version.handler.empty())) {
    return aws::invalid_parameter(
        "Please don't provide Handler or Runtime or Layer when the intent is to create a "
        "function with packageType Image.");
  }
  return version;
}

io::Task<AwsResult<Reply>> create_function(Call& call) {
  CO_TRY(Json request, call.json());
  CO_TRY(FunctionVersion version, read_new_function(call, request));
  CO_TRY(auto tags, read_tags(request));
  CO_TRY(auto publish, flag_member(request, "Publish"));
  CO_TRY(auto signing, text_member(request, "CodeSigningConfigArn"));
  if (signing) CO_CHECK(check_code_signing_config(call, *signing));
  if (call.catalog().find(version.realm, version.name) != nullptr) {
    co_return aws::resource_conflict(fmt::format("Function already exist: {}", version.name));
  }
  const Json* code = member(request, "Code");
  if (code == nullptr || !code->is_object()) co_return missing_member("code");
  CO_TRY([[maybe_unused]] auto package, co_await take_code(call, *code, version));
  CO_CHECK(co_await check_unpacked_size(call, version));
  functions::Realm realm = version.realm;
  std::string name = version.name;
  CO_TRY(const FunctionEntry* entry, call.catalog().create(std::move(version), std::move(tags)));
  if (signing) {
    auto sign = [&](functions::FunctionSettings& settings) {
      settings.code_signing_config = *signing;
      return Result<void>();
    };
    CO_CHECK(call.catalog().update_settings(realm, name, sign));
  }
  begin_base(call.services(), *entry->latest());
  if (!publish.value_or(false)) {
    co_return aws::json_reply(201, being_created(configuration_json(*entry->latest(), "")));
  }
  CO_TRY(auto published, call.catalog().publish(realm, name, std::nullopt));
  co_return aws::json_reply(201, being_created(configuration_json(*published, "")));
}

AwsResult<Reply> list_functions(Call& call) {
  bool all = call.query("FunctionVersion") == "ALL";
  if (!call.query("FunctionVersion").empty()) {
    CHECK(check_enum(call.query("FunctionVersion"), "functionVersion", {"ALL"}));
  }
  std::vector<const functions::StoredVersion*> shown;
  for (const FunctionEntry* entry : call.catalog().list(call.realm())) {
    auto versions = entry->versions();
    shown.insert(shown.end(), versions.begin(), all ? versions.end() : versions.begin() + 1);
  }
  TRY(Page page, page_of(call, shown.size()));
  Json items = Json::array();
  for (size_t i = page.begin; i < page.end; ++i) {
    FunctionVersionPtr version = shown[i]->get();
    items.push_back(configuration_json(*version, all ? version->version : "", Shown::InList));
  }
  return page_reply("Functions", std::move(items), page);
}

/// The version that name and qualifier of the request mean.
AwsResult<FunctionVersionPtr> asked_version(Call& call) {
  TRY(const FunctionEntry* entry, call.function());
  TRY(std::string qualifier, call.qualifier());
  TRY(auto version, call.catalog().main_version(*entry, qualifier));
  return version;
}

Json code_json(Call& call, const FunctionVersion& version) {
  if (version.package == functions::PackageType::Image) {
    return {{"RepositoryType", "ECR"}, {"ImageUri", version.image}, {"ResolvedImageUri", version.image_id}};
  }
  Json json{{"RepositoryType", "S3"}, {"Location", code_location(call.exchange(), version.code_sha256)}};
  if (auto key = version.kept_members.find(source_key); key != version.kept_members.end())
    json["SourceKMSKeyArn"] = key->second;
  if (auto object = version.kept_members.find(referenced_object); object != version.kept_members.end()) {
    if (auto named = parse_json(object->second)) json["ResolvedS3Object"] = std::move(*named);
  }
  return json;
}

AwsResult<Reply> get_function(Call& call) {
  TRY(const FunctionEntry* entry, call.function());
  TRY(std::string qualifier, call.qualifier());
  TRY(auto version, asked_version(call));
  Json configuration = with_base_state(call.services(), *version, configuration_json(*version, qualifier));
  Json body{{"Configuration", std::move(configuration)}, {"Code", code_json(call, *version)}};
  const auto& settings = entry->settings();
  if (!settings.tags.empty()) body["Tags"] = settings.tags;
  if (settings.reserved_concurrency) {
    body["Concurrency"] = {{"ReservedConcurrentExecutions", *settings.reserved_concurrency}};
  }
  return aws::json_reply(200, body);
}

AwsResult<Reply> get_configuration(Call& call) {
  TRY(std::string qualifier, call.qualifier());
  TRY(auto version, asked_version(call));
  return aws::json_reply(200,
                         with_base_state(call.services(), *version, configuration_json(*version, qualifier)));
}

/// RevisionId of the request, if it has one, is that of $LATEST.
AwsResult<void> check_revision(const Json& request, const FunctionVersion& latest) {
  TRY(auto revision, text_member(request, "RevisionId"));
  if (revision && *revision != latest.revision_id) {
    return AwsError{
        412, "PreconditionFailedException",
        "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias "
        "API to retrieve the latest Revision Id"};
  }
  return {};
}

io::Task<AwsResult<Reply>> update_configuration(Call& call) {
  CO_TRY(Json request, call.json());
  CO_TRY(const FunctionEntry* entry, call.function());
  CO_CHECK(check_revision(request, *entry->latest()));
  FunctionVersion version = *entry->latest();
  if (member(request, "DurableConfig") != nullptr && !functions::durable::is_durable(version)) {
    co_return aws::invalid_parameter(
        "DurableConfig can be given only when a function is made. Make another function with it.");
  }
  if (member(request, "TenancyConfig") != nullptr && !functions::is_per_tenant(version)) {
    co_return aws::invalid_parameter(
        "TenancyConfig can be given only when a function is made. Make another function with it.");
  }
  CO_CHECK(apply_configuration(call, request, version));
  CO_CHECK(co_await check_unpacked_size(call, version));
  CO_TRY(auto latest, call.catalog().replace_latest(std::move(version)));
  begin_base(call.services(), *latest);
  co_return aws::json_reply(200, being_updated(configuration_json(*latest, "")));
}

io::Task<AwsResult<Reply>> update_code(Call& call) {
  CO_TRY(Json request, call.json());
  CO_TRY(const FunctionEntry* entry, call.function());
  CO_CHECK(check_revision(request, *entry->latest()));
  FunctionVersion version = *entry->latest();
  CO_TRY(auto architecture, read_architecture(request));
  if (architecture) version.architecture = *architecture;
  CO_CHECK(refuse_publish_to(request));
  CO_TRY(auto publish, flag_member(request, "Publish"));
  CO_TRY(auto dry_run, flag_member(request, "DryRun"));
  CO_TRY([[maybe_unused]] auto package, co_await take_code(call, request, version));
  CO_CHECK(co_await check_unpacked_size(call, version));
  if (dry_run.value_or(false)) co_return aws::json_reply(200, configuration_json(version, ""));
  CO_TRY(auto latest, call.catalog().replace_latest(std::move(version)));
  begin_base(call.services(), *latest);
  co_await collect_code(call.services());
  if (!publish.value_or(false))
    co_return aws::json_reply(200, being_updated(configuration_json(*latest, "")));
  CO_TRY(auto published, call.catalog().publish(latest->realm, latest->name, std::nullopt));
  co_return aws::json_reply(200, being_updated(configuration_json(*published, published->version)));
}

/// A version that is not there is as good as removed.
AwsResult<void> remove_version(Call& call, const FunctionEntry& entry, const std::string& version) {
  if (!functions::is_version_number(version))
    return aws::invalid_parameter("Deletion of aliases is not currently supported.");
  if (entry.version(version) == nullptr) return {};
  for (const auto& [alias_name, alias] : entry.settings().aliases) {
    if (alias.version == version || alias.weights.count(version) != 0) {
      return aws::resource_conflict(fmt::format(
          "Unable to delete version because the following aliases reference it: [{}]", alias_name));
    }
  }
  functions::Realm realm = entry.realm();
  std::string name = entry.name();
  CHECK(call.catalog().remove_version(realm, name, std::stoull(version)));
  return {};
}

io::Task<AwsResult<Reply>> delete_function(Call& call) {
  CO_TRY(auto reference, call.function_reference());
  if (reference.qualifier == functions::latest_version)
    co_return aws::invalid_parameter("$LATEST version cannot be deleted without deleting the function.");
  const FunctionEntry* entry = call.catalog().find(reference.realm, reference.name);
  if (entry == nullptr) co_return functions::function_not_found(reference.realm, reference.name);
  if (reference.qualifier.empty()) {
    CO_CHECK(call.catalog().remove(reference.realm, reference.name));
  } else {
    CO_CHECK(remove_version(call, *entry, reference.qualifier));
  }
  co_await collect_code(call.services());
  co_return aws::empty_reply(204);
}

constexpr Operation operations[] = {
    {.name = "CreateFunction",
     .method = "POST",
     .pattern = "/2015-03-31/functions",
     .work = create_function,
     .body = BodySize::Code},
    {.name = "ListFunctions", .method = "GET", .pattern = "/2015-03-31/functions", .answer = list_functions},
    {.name = "GetFunction", .method = "GET", .pattern = "/2015-03-31/functions/{}", .answer = get_function},
    {.name = "DeleteFunction",
     .method = "DELETE",
     .pattern = "/2015-03-31/functions/{}",
     .work = delete_function},
    {.name = "GetFunctionConfiguration",
     .method = "GET",
     .pattern = "/2015-03-31/functions/{}/configuration",
     .answer = get_configuration},
    {.name = "UpdateFunctionConfiguration",
     .method = "PUT",
     .pattern = "/2015-03-31/functions/{}/configuration",
     .work = update_configuration},
    {.name = "UpdateFunctionCode",
     .method = "PUT",
     .pattern = "/2015-03-31/functions/{}/code",
     .work = update_code,
     .body = BodySize::Code},
};

}  // namespace

std::span<const Operation> function_operations() {
  return operations;
}

}  // namespace berth::api::lambda
