#include "apps/berth/compose/images.h"

#include <algorithm>

#include "apps/berth/commands/commands.h"
#include "apps/berth/commands/pulling.h"
#include "apps/berth/commands/registry_auth.h"
#include "apps/berth/compose/bake.h"
#include "apps/berth/compose/build_inputs.h"
#include "apps/berth/compose/dry_run.h"
#include "apps/berth/compose/provider.h"
#include "apps/berth/compose/request.h"
#include "apps/berth/compose/temporary_file.h"
#include "apps/berth/grammar/invocation.h"
#include "base/json.h"
#include "spec/image.h"

namespace berth::cli::compose {
namespace {

void add_all(std::vector<std::string>& words, std::string_view flag, const std::vector<std::string>& values) {
  for (const std::string& value : values) words.push_back(fmt::format("--{}={}", flag, value));
}

/// Of those that an image is built for, the one that is run here.
std::string platform_to_run(const std::vector<std::string>& platforms) {
  const std::string host = spec::Platform::host().str();
  const bool has_host = std::find(platforms.begin(), platforms.end(), host) != platforms.end();
  return has_host ? host : platforms.front();
}

/// As docker's compose: the project's DOCKER_DEFAULT_PLATFORM is that of services that name none.
Outcome<std::string> platform_of(const Project& project, const Service& service) {
  TRY(std::string platform, text_of(service.config, "platform", service.path()));
  auto fallback = project.environment.find("DOCKER_DEFAULT_PLATFORM");
  if (platform.empty() && fallback != project.environment.end()) platform = fallback->second;
  return platform;
}

Outcome<std::vector<std::string>> build_words(Session& session, const Service& service,
                                              const BuildOptions& options) {
  const Value& build = *service.config.find("build");
  std::string path = service.path() + ".build";
  std::vector<std::string> words{"--tag=" + image_of(session.project, service)};
  TRY(auto tags, texts_of(build, "tags", path));
  add_all(words, "tag", tags);
  if (const Value* arguments = build.find("args")) {
    for (const auto& [name, value] : arguments->members) {
      auto outer = session.project.environment.find(name);
      if (!value.is_null())
        words.push_back(fmt::format("--build-arg={}={}", name, value.text));
      else if (outer != session.project.environment.end())
        words.push_back(fmt::format("--build-arg={}={}", name, outer->second));
    }
  }
  add_all(words, "build-arg", options.arguments);
  TRY(auto labels, text_map_of(build, "labels", path));
  for (const auto& [name, value] : labels) words.push_back(fmt::format("--label={}={}", name, value));
  words.push_back(fmt::format("--label={}={}", label_project, session.project.name));
  words.push_back(fmt::format("--label={}={}", label_service, service.name));
  words.push_back(fmt::format("--label={}={}", label_version, compose_version));
  TRY(auto limits, ulimit_words(build, path));
  add_all(words, "ulimit", limits);
  for (auto [key, flag] : {std::pair{"target", "target"}, {"network", "network"}, {"shm_size", "shm-size"}}) {
    TRY(std::string text, text_of(build, key, path));
    if (!text.empty()) words.push_back(fmt::format("--{}={}", flag, text));
  }
  TRY(auto hosts, texts_of(build, "extra_hosts", path));
  for (std::string& line : hosts) line = host_line(std::move(line));
  add_all(words, "add-host", hosts);
  TRY(auto caches, texts_of(build, "cache_from", path));
  add_all(words, "cache-from", caches);
  TRY(auto targets, texts_of(build, "cache_to", path));
  add_all(words, "cache-to", targets);
  TRY(auto platforms, texts_of(build, "platforms", path));
  TRY(std::string platform, platform_of(session.project, service));
  if (!platform.empty() || platforms.empty()) {
    if (!platform.empty()) words.push_back("--platform=" + platform);
  } else if (options.every_platform) {
    add_all(words, "platform", platforms);
  } else {
    words.push_back("--platform=" + platform_to_run(platforms));
  }
  TRY(bool no_cache, bool_of(build, "no_cache", path));
  TRY(bool pull, bool_of(build, "pull", path));
  if (no_cache || options.no_cache) words.push_back("--no-cache");
  if (pull || options.pull) words.push_back("--pull");
  if (options.quiet) words.push_back("--quiet");
  if (!options.memory.empty()) words.push_back("--memory=" + options.memory);
  add_all(words, "ssh", options.ssh);
  if (options.check) words.push_back("--check");
  for (auto [key, given] : {std::pair{"provenance", &options.provenance}, {"sbom", &options.sbom}}) {
    TRY(std::string text, text_of(build, key, path, *given));
    if (!given->empty()) text = *given;
    if (!text.empty()) words.push_back(fmt::format("--{}={}", key, text));
  }
  TRY(const bool privileged, bool_of(build, "privileged", path));
  if (privileged)
    return complaint(*build.find("privileged"), path + ".privileged", "is not supported by berth's builder");
  return words;
}

Outcome<void> build_one(Session& session, const Service& service, const BuildOptions& options) {
  const Value& build = *service.config.find("build");
  if (session.dry_run()) {
    const std::string image = image_of(session.project, service);
    session.report.tell("Image", image, "Building");
    session.dry->assume_image(image);
    session.report.tell("Image", image, "Built");
    return {};
  }
  TRY(auto words, build_words(session, service, options));
  TRY(auto inputs, build_input_words(session.project, service));
  words.insert(words.end(), inputs.words.begin(), inputs.words.end());
  std::optional<TemporaryFile> inline_file;
  const std::string& folder = build.find("context")->text;
  bool remote = folder.find("://") != std::string::npos || folder.starts_with("git@");
  if (const Value* text = build.find("dockerfile_inline")) {
    TRY(TemporaryFile file, TemporaryFile::create(text->text));
    inline_file.emplace(std::move(file));
    words.push_back("--file=" + inline_file->path());
  } else if (const Value* file = build.find("dockerfile")) {
    bool absolute = file->text.starts_with('/') || remote;
    words.push_back("--file=" + (absolute ? file->text : folder + "/" + file->text));
  }
  words.push_back(folder);
  TRY(int code, perform(session.context, commands::build_command, "build", words));
  if (code != 0) return Failure::exit(code);
  if (!options.check) session.report.tell("Image", image_of(session.project, service), "Built");
  return {};
}

enum class Progressing { Begun, Done };
using Built = std::map<std::string, Progressing>;

/// The service's image, behind those of the services that it takes as contexts.
Outcome<void> build_in_order(Session& session, const Service& service, const BuildOptions& options,
                             Built& built) {
  auto [entry, is_new] = built.try_emplace(service.name, Progressing::Begun);
  if (!is_new) {
    if (entry->second == Progressing::Done) return {};
    return complaint(*service.config.find("build"), service.path() + ".build.additional_contexts",
                     "the services need each other's images");
  }
  TRY(auto before, built_before(session.project, service));
  for (const std::string& name : before)
    CHECK(build_in_order(session, session.project.services.at(name), options, built));
  CHECK(build_one(session, service, options));
  built[service.name] = Progressing::Done;
  return {};
}

Outcome<bool> is_there(Session& session, const std::string& image) {
  auto reply = session.context.engine().call({.path = client::image_path(image, "json")});
  if (reply) return true;
  if (reply.error().not_found()) return false;
  return reply.error();
}

/// That it could be pulled.
Outcome<void> is_in_registry(Session& session, const std::string& image) {
  TRY(auto headers, commands::registry_auth_header(session.context, image));
  auto found = session.context.engine().call(
      {.path = "/distribution/" + client::percent_encode(image, "/:@") + "/json",
       .headers = std::move(headers)});
  return found ? Outcome<void>() : found.error();
}

Outcome<void> push_one(Session& session, const Service& service) {
  const std::string image = image_of(session.project, service);
  if (session.dry_run()) {
    session.report.tell("Image", image, "Pushed");
    return {};
  }
  TRY(const int code, perform(session.context, commands::push_command, "push", {image}));
  return code == 0 ? Outcome<void>() : Outcome<void>(Failure::exit(code));
}

Outcome<void> pull_one(Session& session, const Service& service, bool quiet) {
  std::string image = image_of(session.project, service);
  TRY(std::string platform, platform_of(session.project, service));
  session.report.tell_line(service.name, "Pulling");
  if (session.dry_run()) {
    CHECK(is_in_registry(session, image));
    session.dry->assume_image(image);
    session.report.tell_line(service.name, "Pulled");
    return {};
  }
  CHECK(commands::pull_image(session.context, session.context.err,
                             {.image = image,
                              .platform = platform,
                              .quiet = quiet ? output::Progress::Quiet::Yes : output::Progress::Quiet::No}));
  session.report.tell_line(service.name, "Pulled");
  return {};
}

Outcome<std::string> policy_of(const Service& service, const std::string& from_flag) {
  TRY(std::string policy, text_of(service.config, "pull_policy", service.path()));
  if (!from_flag.empty() && from_flag != "policy") policy = from_flag;
  if (policy.empty() || policy == "if_not_present") policy = "missing";
  // "daily" and the like need the time of the last pull, which the engine does not keep: look each time.
  if (policy == "daily" || policy == "weekly" || policy.starts_with("every_")) policy = "always";
  for (std::string_view known : {"always", "missing", "never", "build"}) {
    if (policy == known) return policy;
  }
  const Value* given = service.config.find("pull_policy");
  return complaint(given == nullptr ? service.config : *given, service.path() + ".pull_policy",
                   fmt::format("\"{}\" is none of always, missing, never, build", policy));
}

}  // namespace

Outcome<int> perform(Context& context, const grammar::Command& command, std::string_view path,
                     const std::vector<std::string>& words) {
  grammar::Invocation invocation(command, std::string(path));
  std::vector<const char*> pointers;
  for (const std::string& word : words) pointers.push_back(word.c_str());
  grammar::Parser parser(invocation);
  auto verdict = parser.parse(pointers);
  if (!verdict) return verdict.error();
  return command.action(context, invocation);
}

Outcome<std::string> pinned_image(Context& context, const std::string& image) {
  if (image.find('@') != std::string::npos) return image;
  auto reply = context.engine().call({.path = "/distribution/" + image + "/json"});
  if (!reply)
    return Failure::plain(fmt::format("failed to resolve digest for {}: {}", image, reply.error().text()));
  TRY(const Json json, parse_json(reply->body));
  const Json* descriptor = json_member(json, "Descriptor");
  if (descriptor == nullptr)
    return Failure::plain(fmt::format("failed to resolve digest for {}: the engine tells none", image));
  TRY(std::string digest, json_string(*descriptor, "digest"));
  return fmt::format("{}@{}", image, digest);
}

Outcome<void> build_images(Session& session, const std::vector<std::string>& names,
                           const BuildOptions& options) {
  Built built;
  BuildOptions whole = options;
  whole.every_platform = true;
  for (const std::string& name : names) {
    const Service& service = session.project.services.at(name);
    if (service.config.find("build") == nullptr) continue;
    CHECK(build_in_order(session, service, whole, built));
    if (!options.push || service.config.find("image") == nullptr) continue;
    CHECK(push_one(session, service));
  }
  return {};
}

Outcome<void> push_images(Session& session, const std::vector<std::string>& names, bool ignore_failures) {
  for (const std::string& name : names) {
    const Service& service = session.project.services.at(name);
    if (service.config.find("build") == nullptr || service.config.find("image") == nullptr) continue;
    auto pushed = push_one(session, service);
    if (!pushed && !ignore_failures) return pushed;
    if (!pushed) session.report.warn(fmt::format("{}: {}", name, pushed.error().text()));
  }
  return {};
}

Outcome<void> ensure_images(Session& session, const std::vector<std::string>& names,
                            const ImageOptions& options) {
  std::set<std::string> done;
  Built built;
  for (const std::string& name : names) {
    const Service& service = session.project.services.at(name);
    if (is_provided(service)) continue;
    std::string image = image_of(session.project, service);
    bool buildable = service.config.find("build") != nullptr;
    TRY(std::string policy, policy_of(service, options.pull));
    if (buildable && (options.build || policy == "build") && !options.no_build) {
      CHECK(build_in_order(session, service, {.quiet = options.quiet_build}, built));
      continue;
    }
    if (!done.insert(image).second) continue;
    TRY(bool there, is_there(session, image));
    if (there && !(policy == "always" && !buildable)) continue;
    if (!there && buildable && !options.no_build) {
      CHECK(build_in_order(session, service, {.quiet = options.quiet_build}, built));
      continue;
    }
    if (policy == "never") return Failure::plain(fmt::format("No such image: {}", image));
    if (buildable && options.no_build && service.config.find("image") == nullptr) {
      return Failure::plain(fmt::format("No such image: {}: it is built from {}, and --no-build was given",
                                        image, service.path()));
    }
    CHECK(pull_one(session, service, options.quiet_pull));
  }
  return {};
}

namespace {

/// Why the image of a service is not pulled; empty: it is.
Outcome<std::string> reason_to_skip(Session& session, const Service& service, const PullOptions& options) {
  if (service.config.find("image") == nullptr) return std::string("Skipped - No image to be pulled");
  TRY(std::string policy, text_of(service.config, "pull_policy", service.path()));
  if (!options.policy.empty()) policy = options.policy;
  if (policy == "never" || policy == "build") return std::string("Skipped");
  if (policy == "missing" || policy == "if_not_present") {
    const std::string image = image_of(session.project, service);
    TRY(const bool there, is_there(session, image));
    // One that is called "latest" by name may be another by now.
    if (there && !image.ends_with(":latest"))
      return std::string("Skipped - Image is already present locally");
  }
  const bool buildable = service.config.find("build") != nullptr;
  return std::string(buildable && options.ignore_buildable ? "Skipped - Image can be built" : "");
}

}  // namespace

Outcome<void> pull_images(Session& session, const std::vector<std::string>& names,
                          const PullOptions& options) {
  std::map<std::string, std::string> pulled_by;
  std::string to_be_built;
  std::optional<Failure> failed;
  for (const std::string& name : names) {
    const Service& service = session.project.services.at(name);
    if (is_provided(service)) continue;
    TRY(std::string skipped, reason_to_skip(session, service, options));
    auto [by, is_first] = pulled_by.try_emplace(image_of(session.project, service), name);
    if (skipped.empty() && !is_first)
      skipped = fmt::format("Skipped - Image is already being pulled by {}", by->second);
    if (!skipped.empty()) {
      session.report.tell_line(name, skipped);
      continue;
    }
    auto pulled = pull_one(session, service, options.quiet);
    if (pulled) continue;
    const bool buildable = service.config.find("build") != nullptr;
    session.report.tell_line(name,
                             fmt::format("{} {}", buildable ? "Warning" : "Error", pulled.error().text()));
    if (!options.ignore_failures && !buildable) return pulled.error();
    failed = pulled.error();
    if (buildable) to_be_built += " " + name;
  }
  if (!to_be_built.empty())
    session.report.warn(
        "Some service image(s) must be built from source by running:\n    berth compose build" + to_be_built);
  return failed && !options.ignore_failures ? Outcome<void>(*failed) : Outcome<void>();
}

}  // namespace berth::cli::compose
