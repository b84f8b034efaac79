#include "apps/buildkit/calls.h"

#include <algorithm>

#include "base/json.h"
#include "spec/dockerfile_calls.h"
#include "spec/reference.h"

namespace berth::buildkit {
namespace {

using BuildArguments = std::map<std::string, std::optional<std::string>>;

std::string query_value(const BuildParameters& parameters, std::string_view name) {
  auto found = std::find_if(parameters.query.begin(), parameters.query.end(),
                            [name](const auto& entry) { return entry.first == name; });
  return found == parameters.query.end() ? std::string() : found->second;
}

Result<BuildArguments> build_arguments(const BuildParameters& parameters) {
  BuildArguments arguments;
  std::string text = query_value(parameters, "buildargs");
  if (text.empty()) return arguments;
  TRY(Json object, parse_json(text));
  for (const auto& [name, value] : object.items())
    if (value.is_string()) arguments[name] = value.get<std::string>();
  return arguments;
}

std::optional<std::vector<std::string>> environment_of(const EngineClient& engine, const std::string& image) {
  auto reference = spec::Reference::parse(image);
  if (!reference) return std::nullopt;
  auto answer = engine.send({.method = "GET", .path = "/images/" + reference->familiar_string() + "/json"});
  if (!answer) return std::nullopt;
  auto object = parse_json(answer->body);
  const Json* config = object ? json_member(*object, "Config") : nullptr;
  auto env = config != nullptr ? json_strings(*config, "Env")
                               : Result<std::vector<std::string>>(std::vector<std::string>());
  return env ? std::optional(std::move(*env)) : std::nullopt;
}

Result<spec::CallAnswer> check(const EngineClient& engine, const BuildParameters& parameters,
                               const std::string& dockerfile, const std::vector<std::string>& ignored,
                               const BuildArguments& arguments) {
  auto file = spec::parse_dockerfile(dockerfile);
  if (!file) return spec::call_check(parameters.dockerfile, dockerfile, nullptr, file.error());
  spec::CheckInput input{.text = dockerfile,
                         .file = *file,
                         .build_args = arguments,
                         .target = query_value(parameters, "target")};
  auto given = arguments.find("BUILDKIT_DOCKERFILE_CHECK");
  TRY(input.config,
      spec::CheckConfig::parse(given == arguments.end() ? file->check : given->second.value_or("")));
  if (std::string platform = query_value(parameters, "platform"); !platform.empty()) {
    TRY(input.platform, spec::Platform::parse(platform));
  }
  input.environment = [&engine](const std::string& image) { return environment_of(engine, image); };
  TRY(auto patterns, spec::PatternSet::create(ignored));
  input.ignored = &patterns;
  auto answer = spec::call_check(parameters.dockerfile, dockerfile, &input, std::nullopt);
  return answer;
}

}  // namespace

Result<std::map<std::string, std::string>> answer_call(const EngineClient& engine,
                                                       const BuildParameters& parameters,
                                                       const std::string& dockerfile,
                                                       const std::vector<std::string>& ignored) {
  TRY(BuildArguments arguments, build_arguments(parameters));
  spec::CallAnswer answer;
  if (parameters.call == "lint") {
    TRY(answer, check(engine, parameters, dockerfile, ignored, arguments));
  } else {
    auto file = spec::parse_dockerfile(dockerfile);
    if (!file) return Error(Kind::InvalidArgument, file.error().message);
    if (parameters.call == "targets") {
      answer = spec::call_targets(dockerfile, *file);
    } else {
      TRY(answer, spec::call_outline(dockerfile, *file, query_value(parameters, "target"), arguments));
    }
  }
  std::map<std::string, std::string> metadata = {
      {"result.json", answer.json}, {"result.txt", answer.text}, {"version", "1.0.0"}};
  if (parameters.call == "lint") metadata["result.statuscode"] = std::to_string(answer.status);
  return metadata;
}

}  // namespace berth::buildkit
