// The members of CreateFunction and UpdateFunctionConfiguration: each is checked, in AWS's words, and becomes
// part of the version.
#include <algorithm>
#include <set>

#include "api/lambda/durable_json.h"
#include "api/lambda/function_json.h"
#include "base/format.h"
#include "base/json.h"
#include "functions/packages/package_store.h"

namespace berth::api::lambda {
namespace {

using functions::FunctionVersion;

/// Set by the service itself in every sandbox.
constexpr std::string_view reserved_variables[] = {"_HANDLER",
                                                   "_X_AMZN_TRACE_ID",
                                                   "AWS_DEFAULT_REGION",
                                                   "AWS_REGION",
                                                   "AWS_EXECUTION_ENV",
                                                   "AWS_LAMBDA_FUNCTION_NAME",
                                                   "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
                                                   "AWS_LAMBDA_FUNCTION_VERSION",
                                                   "AWS_LAMBDA_INITIALIZATION_TYPE",
                                                   "AWS_LAMBDA_LOG_GROUP_NAME",
                                                   "AWS_LAMBDA_LOG_STREAM_NAME",
                                                   "AWS_ACCESS_KEY",
                                                   "AWS_ACCESS_KEY_ID",
                                                   "AWS_SECRET_ACCESS_KEY",
                                                   "AWS_SESSION_TOKEN",
                                                   "AWS_LAMBDA_RUNTIME_API",
                                                   "LAMBDA_TASK_ROOT",
                                                   "LAMBDA_RUNTIME_DIR"};

AwsError violated(std::string_view value, std::string_view name, std::string_view constraint) {
  return aws::validation_exception(
      functions::validation_error(value.substr(0, 1024), name, constraint).message());
}

bool digits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

/// "python3.12", "nodejs22.x", "provided.al2023", "java21" ...: AWS's names, also those still to come.
bool is_runtime(std::string_view text) {
  if (text.size() > 32) return false;
  for (std::string_view known :
       {"provided", "provided.al2", "provided.al2023", "go1.x", "java8.al2", "nodejs", "dotnetcore3.1"}) {
    if (text == known) return true;
  }
  auto rest = [&](std::string_view prefix) {
    return text.starts_with(prefix) ? text.substr(prefix.size()) : std::string_view();
  };
  if (std::string_view node = rest("nodejs"); node.ends_with(".x"))
    return digits(node.substr(0, node.size() - 2));
  for (std::string_view prefix : {"python3.", "python2.", "ruby2.", "ruby3.", "ruby4.", "java", "dotnet"}) {
    if (digits(rest(prefix))) return true;
  }
  return false;
}

/// Runtimes for which AWS makes no functions any more.
bool is_deprecated(std::string_view runtime) {
  constexpr std::string_view known[] = {
      "nodejs",    "nodejs4.3", "nodejs6.10",    "nodejs8.10",    "nodejs10.x", "nodejs12.x", "nodejs14.x",
      "python2.7", "python3.6", "python3.7",     "ruby2.5",       "ruby2.7",    "java8",      "go1.x",
      "provided",  "dotnet5.0", "dotnetcore2.1", "dotnetcore3.1", "dotnet7"};
  return std::find(std::begin(known), std::end(known), runtime) != std::end(known);
}

AwsResult<void> apply_texts(Call& call, const Json& request, FunctionVersion& version) {
  TRY(auto runtime, text_member(request, "Runtime"));
  if (runtime) {
    bool strict = call.services().profile == functions::LimitProfile::Strict;
    if (strict && is_deprecated(*runtime)) {
      return aws::invalid_parameter(fmt::format(
          "The runtime parameter of {} is no longer supported for creating or updating AWS Lambda "
          "functions. We recommend you use a supported runtime while creating or updating functions.",
          *runtime));
    }
    if (!is_runtime(*runtime)) {
      return aws::invalid_parameter(
          fmt::format("Value {} at 'runtime' failed to satisfy constraint: Member must satisfy enum value "
                      "set: [{}] or be a valid ARN",
                      runtime->substr(0, 128), known_runtimes));
    }
    version.runtime = *runtime;
  }
  TRY(auto handler, text_member(request, "Handler"));
  if (handler) {
    if (handler->size() > 128) {
      return violated(*handler, "handler", "Member must have length less than or equal to 128");
    }
    if (handler->find_first_of(" \t\n\r\f\v") != std::string::npos) {
      return violated(*handler, "handler", "Member must satisfy regular expression pattern: [^\\s]+");
    }
    version.handler = *handler;
  }
  TRY(auto description, text_member(request, "Description"));
  if (description && description->size() > 256) {
    return violated(*description, "description", "Member must have length less than or equal to 256");
  }
  if (description) version.description = *description;
  return {};
}

AwsResult<void> apply_role(const Json& request, FunctionVersion& version) {
  TRY(auto role, text_member(request, "Role"));
  if (!role) return {};
  constexpr std::string_view pattern = "arn:(aws[a-zA-Z-]*)?:iam::\\d{12}:role/?[a-zA-Z_0-9+=,.@\\-_/]+";
  std::string_view text = *role;
  size_t iam = text.find(":iam::");
  bool fits = text.starts_with("arn:aws") && iam != std::string_view::npos &&
              digits(text.substr(iam + 6, 12)) && text.substr(iam + 6).size() > 18 &&
              text.substr(iam + 18).starts_with(":role") && text.size() <= 512;
  if (!fits) {
    return violated(*role, "role",
                    fmt::format("Member must satisfy regular expression pattern: {}", pattern));
  }
  version.role = *role;
  return {};
}

AwsResult<void> apply_sizes(Call& call, const Json& request, FunctionVersion& version) {
  const auto& limits = call.limits();
  TRY(auto timeout, number_member(request, "Timeout"));
  if (timeout) {
    CHECK(check_range(*timeout, "timeout", 1, limits.max_timeout_seconds));
    version.timeout_seconds = static_cast<uint32_t>(*timeout);
  }
  TRY(auto memory, number_member(request, "MemorySize"));
  if (memory) {
    CHECK(check_range(*memory, "memorySize", limits.min_memory_mebibytes, limits.max_memory_mebibytes));
    version.memory_mebibytes = static_cast<uint32_t>(*memory);
  }
  TRY(const Json* storage, object_member(request, "EphemeralStorage"));
  if (storage != nullptr) {
    TRY(auto size, number_member(*storage, "Size"));
    if (size) {
      CHECK(check_range(*size, "ephemeralStorage.size", limits.min_ephemeral_mebibytes,
                        limits.max_ephemeral_mebibytes));
      version.ephemeral_mebibytes = static_cast<uint32_t>(*size);
    }
  }
  return {};
}

/// What was measured, as AWS shows it; of larger ones the beginning.
std::string shown_measured(const Json& variables) {
  constexpr size_t most_shown = 64u << 10;
  std::string text = to_json(variables);
  if (text.size() > most_shown) text.resize(most_shown);
  return text;
}

AwsResult<void> apply_environment(Call& call, const Json& request, FunctionVersion& version) {
  TRY(const Json* environment, object_member(request, "Environment"));
  if (environment == nullptr) return {};
  std::map<std::string, std::string> variables;
  const Json* given = member(*environment, "Variables");
  if (given != nullptr && !given->is_object()) {
    return AwsError{400, "SerializationException", "Environment.Variables must be an object"};
  }
  std::string reserved;
  const Json none = Json::object();
  for (const auto& [name, value] : (given != nullptr ? *given : none).items()) {
    if (!value.is_string()) return AwsError{400, "SerializationException", "Variables must be strings"};
    const auto& text = value.get_ref<const std::string&>();
    bool valid = name.size() >= 2 && std::isalpha(static_cast<unsigned char>(name[0])) != 0 &&
                 std::all_of(name.begin(), name.end(), [](char c) {
                   return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
                 });
    bool taken = std::find(std::begin(reserved_variables), std::end(reserved_variables), name) !=
                 std::end(reserved_variables);
    if (taken) reserved.append(reserved.empty() ? "" : ", ").append(name);
    if (!valid && !taken) {
      return violated(fmt::format("{{{}=***}}", name.substr(0, 128)), "environment.variables",
                      "Map keys must satisfy constraint: [Member must satisfy regular expression pattern: "
                      "[a-zA-Z]([a-zA-Z0-9_])+]");
    }
    if (text.find('\0') != std::string::npos)
      return aws::invalid_parameter("Variables hold no NUL characters");
    variables[name] = text;
  }
  if (!reserved.empty()) {
    return aws::invalid_parameter(
        fmt::format("Lambda was unable to configure your environment variables because the environment "
                    "variables you have "
                    "provided contains reserved keys that are currently not supported for modification. "
                    "Reserved keys used in "
                    "this request: {}",
                    reserved));
  }
  // Their JSON is what AWS measures.
  if (to_json(Json(variables)).size() > call.limits().environment_bytes) {
    return aws::invalid_parameter(fmt::format(
        "Lambda was unable to configure your environment variables because the environment variables "
        "you have provided exceeded the {}KB limit. String measured: {}",
        call.limits().environment_bytes / 1024, shown_measured(Json(variables))));
  }
  version.kept_members.erase(empty_environment);
  if (variables.empty()) version.kept_members[empty_environment] = "{}";
  version.environment = std::move(variables);
  return {};
}

AwsResult<functions::LayerUse> find_layer(Call& call, const std::string& arn) {
  auto reference = functions::parse_layer_reference(arn, call.realm());
  if (!reference || !reference->version) {
    return violated(
        fmt::format("[{}]", arn), "layers",
        "Member must satisfy constraint: [Member must have length less than or equal to 2048, Member "
        "must have length greater than or equal to 1, Member must satisfy regular expression pattern: "
        "(arn:(aws[a-zA-Z-]*)?:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}:\\d{12}:layer:"
        "[a-zA-Z0-9-_]+:[0-9]+)|(arn:[a-zA-Z0-9-]+:lambda:::awslayer:[a-zA-Z0-9-_]+), Member must not "
        "be null]");
  }
  if (reference->realm.region != call.realm().region) {
    return aws::invalid_parameter(
        fmt::format("Layers are not in the same region as the function. Layers are expected to be in region "
                    "{}.",
                    call.realm().region));
  }
  const auto* layer = call.catalog().find_layer(reference->realm, reference->name, *reference->version);
  if (layer == nullptr && reference->realm.account != call.realm().account) return foreign_layer(call, arn);
  if (layer == nullptr) {
    return aws::invalid_parameter(fmt::format("Layer version {} does not exist.", arn));
  }
  return functions::LayerUse{
      .arn = layer->arn(), .code_size = layer->code_size, .directory = layer->directory};
}

AwsResult<void> apply_layers(Call& call, const Json& request, FunctionVersion& version) {
  TRY(auto arns, texts_member(request, "Layers"));
  if (!arns) return {};
  if (arns->size() > call.limits().layers) {
    return aws::invalid_parameter(fmt::format("Cannot reference more than {} layers.", call.limits().layers));
  }
  std::vector<functions::LayerUse> layers;
  std::map<std::string, std::string> seen;
  for (const std::string& arn : *arns) {
    TRY(auto layer, find_layer(call, arn));
    std::string name = layer.arn.substr(0, layer.arn.rfind(':'));
    if (auto [at, fresh] = seen.emplace(name, layer.arn); !fresh) {
      return aws::invalid_parameter(
          fmt::format("Two different versions of the same layer are not allowed to be referenced in the same "
                      "function. {} and {} are versions of the same layer.",
                      at->second, layer.arn));
    }
    layers.push_back(std::move(layer));
  }
  version.layers = std::move(layers);
  return {};
}

AwsResult<void> apply_logging(const Json& request, FunctionVersion& version) {
  TRY(const Json* logging, object_member(request, "LoggingConfig"));
  if (logging == nullptr) return {};
  functions::LoggingSettings settings;
  TRY(auto format, text_member(*logging, "LogFormat"));
  CHECK(check_enum(format.value_or("Text"), "loggingConfig.logFormat", {"JSON", "Text"}));
  TRY(auto application, text_member(*logging, "ApplicationLogLevel"));
  TRY(auto system, text_member(*logging, "SystemLogLevel"));
  TRY(auto group, text_member(*logging, "LogGroup"));
  if (format == "JSON") {
    settings.format = functions::LogFormat::Json;
    settings.application_level = application.value_or("INFO");
    settings.system_level = system.value_or("INFO");
    CHECK(check_enum(settings.application_level, "loggingConfig.applicationLogLevel",
                     {"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"}));
    CHECK(check_enum(settings.system_level, "loggingConfig.systemLogLevel", {"DEBUG", "INFO", "WARN"}));
  } else if (application || system) {
    return aws::invalid_parameter(
        "To configure application and system log levels, set the log format to JSON.");
  }
  if (group && (group->empty() || group->size() > 512)) {
    return violated(*group, "loggingConfig.logGroup", "Member must have length less than or equal to 512");
  }
  constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_/#";
  if (group && group->find_first_not_of(letters) != std::string::npos) {
    return violated(*group, "loggingConfig.logGroup",
                    "Member must satisfy regular expression pattern: [\\.\\-_/#A-Za-z0-9]+");
  }
  settings.log_group = group.value_or("");
  version.logging = std::move(settings);
  return {};
}

AwsResult<void> apply_targets(const Json& request, FunctionVersion& version) {
  TRY(const Json* tracing, object_member(request, "TracingConfig"));
  if (tracing != nullptr) {
    TRY(auto mode, text_member(*tracing, "Mode"));
    CHECK(check_enum(mode.value_or("PassThrough"), "tracingConfig.mode", {"Active", "PassThrough"}));
    version.tracing = mode == "Active" ? functions::TracingMode::Active : functions::TracingMode::PassThrough;
  }
  TRY(const Json* dead, object_member(request, "DeadLetterConfig"));
  if (dead != nullptr) {
    TRY(auto target, text_member(*dead, "TargetArn"));
    version.dead_letter_arn = target.value_or("");
    std::string_view arn = version.dead_letter_arn;
    CHECK(check_queue_region(version.realm, arn));
    bool takes_letters =
        arn.empty() ||
        ((arn.starts_with("arn:aws:sqs:") || arn.starts_with("arn:aws:sns:")) && !arn.ends_with(':'));
    if (!takes_letters) {
      return aws::invalid_parameter(
          fmt::format("The dead letter target {} is no queue and no topic.", arn.substr(0, 256)));
    }
  }
  if (const Json* durable = member(request, "DurableConfig")) {
    TRY(version.kept_members["DurableConfig"],
        merge_durable_config(*durable, version.kept_members["DurableConfig"]));
  }
  return {};
}

AwsResult<void> apply_image(const Json& request, FunctionVersion& version) {
  TRY(const Json* config, object_member(request, "ImageConfig"));
  if (config == nullptr) return {};
  functions::ImageOverrides overrides;
  TRY(auto entry_point, texts_member(*config, "EntryPoint"));
  TRY(auto command, texts_member(*config, "Command"));
  TRY(auto directory, text_member(*config, "WorkingDirectory"));
  overrides.entry_point = entry_point.value_or(std::vector<std::string>());
  overrides.command = command.value_or(std::vector<std::string>());
  overrides.working_directory = directory.value_or("");
  version.image_overrides = std::move(overrides);
  return {};
}

}  // namespace

AwsResult<void> apply_configuration(Call& call, const Json& request, FunctionVersion& version) {
  CHECK(apply_role(request, version));
  CHECK(apply_texts(call, request, version));
  CHECK(apply_sizes(call, request, version));
  CHECK(apply_environment(call, request, version));
  CHECK(apply_layers(call, request, version));
  CHECK(apply_logging(request, version));
  CHECK(apply_targets(request, version));
  CHECK(apply_features(request, version));
  return apply_image(request, version);
}

}  // namespace berth::api::lambda
