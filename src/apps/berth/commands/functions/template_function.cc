// What a template says of a function, as deploy wants it.
#include "apps/berth/commands/functions/template_function.h"

#include <algorithm>
#include <array>

namespace berth::cli::commands {
namespace {

/// Properties of functions that are carried out.
constexpr std::array<std::string_view, 27> used{
    "AutoPublishAlias",  "DurableConfig",   "FunctionName",
    "CodeUri",           "InlineCode",      "ImageUri",
    "ImageConfig",       "PackageType",     "ProvisionedConcurrencyConfig",
    "Handler",           "Runtime",         "MemorySize",
    "Timeout",           "Environment",     "Layers",
    "LoggingConfig",     "Events",          "Description",
    "EphemeralStorage",  "DeadLetterQueue", "Tags",
    "TenancyConfig",     "Tracing",         "FunctionUrlConfig",
    "EventInvokeConfig", "Architectures",   "ReservedConcurrentExecutions"};
/// Properties that change nothing on one's own machine: whoever may use the engine may use all of it.
constexpr std::array<std::string_view, 6> without_effect{
    "Role", "Policies", "PermissionsBoundary", "VpcConfig", "AssumeRolePolicyDocument", "Metadata"};

/// nullptr when the function has no such property.
Outcome<const Json*> object_property(const Place& place, const char* name) {
  auto found = place.properties().find(name);
  if (found == place.properties().end()) return static_cast<const Json*>(nullptr);
  if (!found->is_object()) return place.refuse(name, fmt::format("{} must have properties of its own", name));
  return &*found;
}

Outcome<std::optional<int64_t>> number_of(const Place& place, const char* property, const Json& object,
                                          const char* name) {
  const Json* found = json_member(object, name);
  if (found == nullptr) return std::optional<int64_t>();
  return place.parse(property, *found);
}

Outcome<void> read_numbers(const Place& place, FunctionSpec& spec) {
  TRY(spec.memory_mebibytes, place.number("MemorySize"));
  TRY(spec.timeout_seconds, place.number("Timeout"));
  TRY(const Json* storage, object_property(place, "EphemeralStorage"));
  if (storage != nullptr) {
    TRY(spec.ephemeral_mebibytes, number_of(place, "EphemeralStorage", *storage, "Size"));
  }
  TRY(const Json* durable, object_property(place, "DurableConfig"));
  if (durable == nullptr) return {};
  TRY(spec.durable_seconds, number_of(place, "DurableConfig", *durable, "ExecutionTimeout"));
  TRY(spec.retention_days, number_of(place, "DurableConfig", *durable, "RetentionPeriodInDays"));
  if (!spec.durable_seconds && !spec.retention_days)
    return place.refuse("DurableConfig", "DurableConfig needs an ExecutionTimeout");
  return {};
}

Outcome<void> read_texts(const Place& place, const char* property, const Json& object,
                         std::map<std::string, std::string>& texts) {
  for (const auto& [name, value] : object.items()) {
    if (!value.is_string())
      return place.refuse(property, fmt::format("{}: {} must be a text", property, name));
    texts[name] = value.get<std::string>();
  }
  return {};
}

Outcome<void> read_maps(const Place& place, FunctionSpec& spec) {
  TRY(const Json* environment, object_property(place, "Environment"));
  if (environment != nullptr) {
    const Json* variables = json_member(*environment, "Variables");
    if (variables == nullptr || !variables->is_object())
      return place.refuse("Environment", "Environment takes Variables");
    CHECK(read_texts(place, "Environment", *variables, spec.environment));
  }
  TRY(const Json* tags, object_property(place, "Tags"));
  if (tags != nullptr) CHECK(read_texts(place, "Tags", *tags, spec.tags));
  return {};
}

Outcome<void> read_lists(const Place& place, FunctionSpec& spec) {
  for (auto [name, list] : {std::pair{"Layers", &spec.layers}, {"Architectures", &spec.architectures}}) {
    auto items = place.properties().find(name);
    if (items == place.properties().end()) continue;
    if (!items->is_array()) return place.refuse(name, fmt::format("{} must be a list", name));
    for (const Json& item : *items) {
      if (!item.is_string()) return place.refuse(name, fmt::format("{} must be a list of texts", name));
      list->push_back(item.get<std::string>());
    }
  }
  return {};
}

/// What the API takes as the template has it.
Outcome<void> read_configurations(const Place& place, FunctionSpec& spec) {
  for (const char* name : {"ImageConfig", "LoggingConfig", "TenancyConfig"}) {
    TRY(const Json* config, object_property(place, name));
    if (config != nullptr) spec.configurations[name] = to_json(*config);
  }
  if (std::string mode = place.text("Tracing"); !mode.empty())
    spec.configurations["TracingConfig"] = to_json(Json{{"Mode", mode}});
  TRY(const Json* letters, object_property(place, "DeadLetterQueue"));
  if (letters != nullptr) spec.dead_letter_arn = member_text(*letters, "TargetArn");
  return {};
}

Outcome<void> find_code(const Place& place, const std::string& folder, FunctionSpec& spec) {
  if (!spec.image.empty()) return {};
  if (place.properties().contains("InlineCode"))
    return place.refuse("InlineCode",
                        "InlineCode is not supported: put the code into a file and name its folder "
                        "with CodeUri");
  std::string uri = place.text("CodeUri");
  if (uri.empty())
    return place.refuse(
        "CodeUri", fmt::format("function {} has no CodeUri and no ImageUri", place.resource().logical_id));
  if (uri.starts_with("s3://"))
    return place.refuse("CodeUri",
                        "CodeUri: code in S3 is not supported here; name a folder or a zip archive");
  spec.code = uri.starts_with("/") ? uri : fmt::format("{}/{}", folder, uri);
  while (spec.code.size() > 1 && spec.code.ends_with('/')) spec.code.pop_back();
  auto guessed = guess_runtime(spec);
  if (!guessed) return place.refuse("CodeUri", guessed.error().message);
  return {};
}

}  // namespace

Outcome<void> check_function_properties(const Place& place) {
  for (const auto& [name, value] : place.properties().items()) {
    auto in = [&name](const auto& list) { return std::find(list.begin(), list.end(), name) != list.end(); };
    if (!in(used) && !in(without_effect))
      return place.refuse(name, fmt::format("the property {} of functions is not supported", name));
  }
  return {};
}

Outcome<FunctionSpec> function_of_template(const Place& place, const std::string& folder) {
  FunctionSpec spec;
  spec.name = place.text("FunctionName", place.resource().logical_id);
  spec.runtime = place.text("Runtime");
  spec.handler = place.text("Handler");
  spec.description = place.text("Description");
  spec.image = place.text("ImageUri");
  CHECK(read_numbers(place, spec));
  CHECK(read_maps(place, spec));
  CHECK(read_lists(place, spec));
  CHECK(read_configurations(place, spec));
  CHECK(find_code(place, folder, spec));
  return spec;
}

}  // namespace berth::cli::commands
