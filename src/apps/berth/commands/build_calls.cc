#include "apps/berth/commands/build_calls.h"

#include <map>
#include <vector>

#include "apps/berth/archive/build_context.h"
#include "apps/berth/archive/file_text.h"
#include "apps/berth/commands/platform.h"
#include "base/json.h"
#include "spec/dockerfile_calls.h"

namespace berth::cli::commands {
namespace {

using grammar::Invocation;
using BuildArguments = std::map<std::string, std::optional<std::string>>;

constexpr size_t max_dockerfile = size_t{8} << 20;

struct Call {
  std::string name;  ///< "check", "outline", "targets"
  bool json = false;
};

Outcome<Call> call_of(const Invocation& invocation) {
  const std::string text = invocation.on("check") ? "check" : invocation.text("call");
  Call call{.name = text.substr(0, text.find(','))};
  const std::string rest = text.substr(call.name.size());
  call.json = rest == ",format=json";
  if (call.name == "lint") call.name = "check";
  const bool is_known = call.name == "check" || call.name == "outline" || call.name == "targets";
  if (!is_known || (!rest.empty() && !call.json && rest != ",format=text"))
    return refuse("invalid --call \"{}\": it is build, check, outline or targets, with ,format=json or text",
                  text);
  return call;
}

BuildArguments build_arguments(const Invocation& invocation) {
  BuildArguments arguments;
  for (const std::string& flag : invocation.list("build-arg")) {
    const size_t equals = flag.find('=');
    arguments[flag.substr(0, equals)] =
        equals == std::string::npos ? std::nullopt : std::optional(flag.substr(equals + 1));
  }
  return arguments;
}

struct Source {
  std::string name;  ///< within the context
  std::string path;  ///< as it was given, for people
  std::string text;
  std::vector<std::string> ignored = {};
};

Outcome<Source> read_source(const Invocation& invocation) {
  const std::string& path = invocation.argument(0);
  if (path == "-" || path.find("://") != std::string::npos)
    return refuse("--call needs a directory with the Dockerfile, not {}", path);
  const std::string file = invocation.text("file");
  TRY(auto context, archive::examine_context(path, file));
  const bool is_named = !file.empty() && file != "-";
  Source source{.name = is_named ? file.substr(file.rfind('/') + 1) : "Dockerfile", .path = {}, .text = {}};
  source.path = is_named      ? file
                : file == "-" ? source.name
                              : path + (path.ends_with('/') ? "" : "/") + source.name;
  if (context.outside_dockerfile) {
    source.text = std::move(*context.outside_dockerfile);
  } else {
    TRY(source.text, archive::read_text(context.folder + "/" + context.dockerfile, max_dockerfile));
  }
  for (const std::string& name : spec::ignore_file_candidates(context.dockerfile)) {
    auto text = archive::read_text(context.folder + "/" + name, max_dockerfile);
    if (!text) continue;
    TRY(source.ignored, spec::parse_ignore_file(*text));
    break;
  }
  return source;
}

/// Of an image that the engine has.
std::optional<std::vector<std::string>> environment_of(Context& context, const std::string& image) {
  auto reply = context.engine().call({.path = client::image_path(image, "/json")});
  if (!reply) return std::nullopt;
  auto object = parse_json(reply->body);
  const Json* config = object ? json_member(*object, "Config") : nullptr;
  if (config == nullptr) return std::nullopt;
  auto env = json_strings(*config, "Env");
  return env ? std::optional(std::move(*env)) : std::nullopt;
}

/// `name` is what the answer calls the file.
Outcome<spec::CallAnswer> check(Context& context, const Invocation& invocation, const Source& source,
                                const std::string& name) {
  auto file = spec::parse_dockerfile(source.text);
  if (!file) return spec::call_check(name, source.text, nullptr, file.error());
  spec::CheckInput input{.text = source.text,
                         .file = *file,
                         .build_args = build_arguments(invocation),
                         .target = invocation.text("target")};
  auto given = input.build_args.find("BUILDKIT_DOCKERFILE_CHECK");
  const bool is_given = given != input.build_args.end() && given->second;
  TRY(input.config, spec::CheckConfig::parse(is_given ? *given->second : file->check));
  if (const auto platforms = wanted_platforms(invocation); !platforms.empty() && !platforms.front().empty()) {
    const std::string& platform = platforms.front();
    TRY(input.platform, spec::Platform::parse(platform));
  }
  input.environment = [&context](const std::string& image) { return environment_of(context, image); };
  TRY(auto ignored, spec::PatternSet::create(source.ignored));
  input.ignored = &ignored;
  return spec::call_check(name, source.text, &input, std::nullopt);
}

Outcome<spec::CallAnswer> describe(const Invocation& invocation, const Call& call, const Source& source) {
  auto file = spec::parse_dockerfile(source.text);
  if (!file) return refuse("{}", file.error().message);
  if (call.name == "targets") return spec::call_targets(source.text, *file);
  TRY(auto answer,
      spec::call_outline(source.text, *file, invocation.text("target"), build_arguments(invocation)));
  return answer;
}

}  // namespace

bool is_build_call(const Invocation& invocation) {
  return invocation.on("check") || (invocation.given("call") && invocation.text("call") != "build");
}

Outcome<int> answer_build_call(Context& context, const Invocation& invocation) {
  TRY(Call call, call_of(invocation));
  TRY(Source source, read_source(invocation));
  spec::CallAnswer answer;
  if (call.name == "check") {
    TRY(answer, check(context, invocation, source, call.json ? source.name : source.path));
  } else {
    TRY(answer, describe(invocation, call, source));
  }
  if (call.json) {
    context.out.line(answer.json);
  } else {
    if (call.name == "check") context.out.print("{}", spec::check_summary(answer));
    context.out.print("{}", answer.text);
  }
  if (!answer.error.empty()) return Failure::client(answer.error);
  return answer.status;
}

}  // namespace berth::cli::commands
