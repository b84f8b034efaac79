#include "api/lambda/function_json.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/format.h"
#include "base/json.h"
#include "base/sha256.h"

namespace berth::api::lambda {
namespace {

using functions::FunctionVersion;

std::string_view text_of(functions::FunctionState state) {
  constexpr std::string_view texts[] = {"Pending", "Active", "Inactive", "Failed"};
  return texts[static_cast<int>(state)];
}
std::string_view text_of(functions::UpdateStatus status) {
  constexpr std::string_view texts[] = {"Successful", "Failed", "InProgress"};
  return texts[static_cast<int>(status)];
}

void put_if(Json& object, const char* name, const std::string& text) {
  if (!text.empty()) object[name] = text;
}

Json logging_json(const FunctionVersion& version) {
  const auto& logging = version.logging;
  Json json{{"LogFormat", logging.format == functions::LogFormat::Json ? "JSON" : "Text"},
            {"LogGroup", logging.log_group.empty() ? "/aws/lambda/" + version.name : logging.log_group}};
  put_if(json, "ApplicationLogLevel", logging.application_level);
  put_if(json, "SystemLogLevel", logging.system_level);
  return json;
}

void put_code(Json& json, const FunctionVersion& version) {
  if (version.package == functions::PackageType::Image) {
    const auto& overrides = version.image_overrides;
    Json config = Json::object();
    if (!overrides.entry_point.empty()) config["EntryPoint"] = overrides.entry_point;
    if (!overrides.command.empty()) config["Command"] = overrides.command;
    put_if(config, "WorkingDirectory", overrides.working_directory);
    if (!config.empty()) json["ImageConfigResponse"] = {{"ImageConfig", config}};
    return;
  }
  json["Runtime"] = version.runtime;
  json["Handler"] = version.handler;
  if (version.layers.empty()) return;
  Json layers = Json::array();
  for (const auto& layer : version.layers)
    layers.push_back({{"Arn", layer.arn}, {"CodeSize", layer.code_size}});
  json["Layers"] = std::move(layers);
}

/// What lists leave out.
void put_state(Json& json, const FunctionVersion& version) {
  if (version.package == functions::PackageType::Zip) {
    json["RuntimeVersionConfig"] = {
        {"RuntimeVersionArn",
         fmt::format("arn:aws:lambda:{}::runtime:{}", version.realm.region, version.runtime)}};
  }
  json["State"] = text_of(version.state);
  put_if(json, "StateReason", version.state_reason);
  put_if(json, "StateReasonCode", version.state_reason_code);
  if (version.state == functions::FunctionState::Pending) return;
  json["LastUpdateStatus"] = text_of(version.update_status);
  put_if(json, "LastUpdateStatusReason", version.update_reason);
  put_if(json, "LastUpdateStatusReasonCode", version.update_reason_code);
}

/// Of what a client configures, code and publication aside.
std::string configuration_digest(const Json& configuration) {
  Json configured = configuration;
  for (const char* other : {"FunctionArn", "Version", "RevisionId", "LastModified", "CodeSha256", "CodeSize"})
    configured.erase(other);
  auto raw = from_hex(sha256(to_json(configured)).hex());
  return raw ? to_base64(*raw) : std::string();
}

}  // namespace

Json configuration_json(const FunctionVersion& version, std::string_view qualifier, Shown shown) {
  std::string arn = functions::function_arn(version.realm, version.name);
  if (!qualifier.empty()) arn.append(":").append(qualifier);
  Json json{{"FunctionName", version.name},
            {"FunctionArn", arn},
            {"Role", version.role},
            {"CodeSize", version.code_size},
            {"Description", version.description},
            {"Timeout", version.timeout_seconds},
            {"MemorySize", version.memory_mebibytes},
            {"LastModified", aws::lambda_time(to_unix_nanoseconds(version.last_modified))},
            {"CodeSha256", version.code_sha256},
            {"Version", version.version},
            {"RevisionId", version.revision_id},
            {"PackageType", version.package == functions::PackageType::Image ? "Image" : "Zip"},
            {"Architectures", {version.architecture}},
            {"EphemeralStorage", {{"Size", version.ephemeral_mebibytes}}},
            {"TracingConfig",
             {{"Mode", version.tracing == functions::TracingMode::Active ? "Active" : "PassThrough"}}},
            {"SnapStart", {{"ApplyOn", "None"}, {"OptimizationStatus", "Off"}}},
            {"LoggingConfig", logging_json(version)}};
  if (!version.environment.empty() || version.kept_members.contains(empty_environment))
    json["Environment"] = {{"Variables", version.environment}};
  if (!version.dead_letter_arn.empty()) json["DeadLetterConfig"] = {{"TargetArn", version.dead_letter_arn}};
  put_code(json, version);
  for (const auto& [name, text] : version.kept_members) {
    if (name.starts_with('_')) continue;
    if (auto kept = parse_json(text)) json[name] = std::move(*kept);
  }
  if (json["SnapStart"].is_object())
    json["SnapStart"]["OptimizationStatus"] = "Off";  // there are no snapshots
  json["ConfigSha256"] = configuration_digest(json);
  if (shown == Shown::Whole) put_state(json, version);
  return json;
}

const Json* member(const Json& object, const char* name) {
  auto found = object.find(name);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

namespace {

AwsError wrong_type(const char* name, std::string_view wanted) {
  return {400, "SerializationException", fmt::format("{} must be {}", name, wanted)};
}

}  // namespace

AwsResult<std::optional<std::string>> text_member(const Json& object, const char* name) {
  const Json* found = member(object, name);
  if (found == nullptr) return std::optional<std::string>();
  if (!found->is_string()) return wrong_type(name, "a string");
  return std::optional(found->get<std::string>());
}

AwsResult<std::optional<int64_t>> number_member(const Json& object, const char* name) {
  const Json* found = member(object, name);
  if (found == nullptr) return std::optional<int64_t>();
  if (!found->is_number_integer()) return wrong_type(name, "an integer");
  if (found->is_number_unsigned() && found->get<uint64_t>() > INT64_MAX)
    return wrong_type(name, "an integer");
  return std::optional(found->get<int64_t>());
}

AwsResult<std::optional<bool>> flag_member(const Json& object, const char* name) {
  const Json* found = member(object, name);
  if (found == nullptr) return std::optional<bool>();
  if (!found->is_boolean()) return wrong_type(name, "true or false");
  return std::optional(found->get<bool>());
}

AwsResult<std::optional<std::vector<std::string>>> texts_member(const Json& object, const char* name) {
  const Json* found = member(object, name);
  if (found == nullptr) return std::optional<std::vector<std::string>>();
  if (!found->is_array()) return wrong_type(name, "a list");
  std::vector<std::string> texts;
  for (const Json& item : *found) {
    if (!item.is_string()) return wrong_type(name, "a list of strings");
    texts.push_back(item.get<std::string>());
  }
  return std::optional(std::move(texts));
}

AwsResult<const Json*> object_member(const Json& object, const char* name) {
  const Json* found = member(object, name);
  if (found != nullptr && !found->is_object()) return wrong_type(name, "an object");
  return found;
}

AwsError foreign_layer(const Call& call, std::string_view arn) {
  return {
      403, "AccessDeniedException",
      fmt::format("User: arn:aws:iam::{}:root is not authorized to perform: lambda:GetLayerVersion on "
                  "resource: {} because no resource-based policy allows the lambda:GetLayerVersion action",
                  call.realm().account, arn.substr(0, 256))};
}

AwsResult<void> check_queue_region(const functions::Realm& realm, std::string_view arn) {
  size_t service = arn.find(":sqs:");
  if (service == arn.npos || arn.substr(service + 5).starts_with(realm.region + ":")) return {};
  return aws::invalid_parameter(fmt::format("The queue {} is not in the region of the function ({}).",
                                            arn.substr(0, 256), realm.region));
}

AwsError missing_member(std::string_view name) {
  return aws::validation_exception(fmt::format(
      "1 validation error detected: Value null at '{}' failed to satisfy constraint: Member must not be null",
      name));
}

AwsResult<void> check_range(int64_t value, std::string_view name, int64_t low, int64_t high) {
  std::string constraint;
  if (value < low) constraint = fmt::format("Member must have value greater than or equal to {}", low);
  if (value > high) constraint = fmt::format("Member must have value less than or equal to {}", high);
  if (constraint.empty()) return {};
  return aws::validation_exception(
      functions::validation_error(std::to_string(value), name, constraint).message());
}

AwsResult<void> check_enum(std::string_view value, std::string_view name,
                           std::initializer_list<std::string_view> values) {
  if (std::find(values.begin(), values.end(), value) != values.end()) return {};
  std::string all;
  for (std::string_view each : values) all.append(all.empty() ? "" : ", ").append(each);
  return aws::validation_exception(
      functions::validation_error(value.substr(0, 256), name,
                                  fmt::format("Member must satisfy enum value set: [{}]", all))
          .message());
}

AwsResult<std::map<std::string, std::string>> read_tags(const Json& request) {
  std::map<std::string, std::string> tags;
  const Json* given = member(request, "Tags");
  if (given == nullptr) return tags;
  if (!given->is_object()) return wrong_type("Tags", "an object");
  for (const auto& [key, value] : given->items()) {
    if (!value.is_string()) return wrong_type("Tags", "an object of strings");
    if (key.empty() || key.size() > 128 || value.get_ref<const std::string&>().size() > 256) {
      return aws::invalid_parameter(fmt::format("Tag \"{}\" is too long", key.substr(0, 128)));
    }
    tags[key] = value.get<std::string>();
  }
  if (tags.size() > 50) return aws::invalid_parameter("Number of tags exceeds resource tag limit.");
  return tags;
}

}  // namespace berth::api::lambda
