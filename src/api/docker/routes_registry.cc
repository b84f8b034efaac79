// What goes to registries: pull (POST /images/create with fromImage), push, search, /auth, /distribution.
#include "api/docker/routes_registry.h"
#include "api/docker/json_lines.h"
#include "api/docker/object_json.h"
#include "api/docker/router.h"
#include "base/bytes.h"
#include "base/format.h"
#include "base/json.h"
#include "io/cancel.h"
#include "registry/client/artifact_push.h"

namespace berth::api {
namespace {

using Outcome = io::Task<Result<void>>;

registry::Credentials credentials_of(Context& context) {
  auto header = context.exchange().header("X-Registry-Auth");
  return header ? registry::credentials_of_header(*header) : registry::Credentials{};
}

Json message_line(const registry::Message& message) {
  if (message.pushed) {
    return {{"progressDetail", Json::object()},
            {"aux",
             {{"Tag", message.pushed->tag},
              {"Digest", message.pushed->digest.str()},
              {"Size", message.pushed->size}}}};
  }
  Json line = {{"status", message.status}};
  if (message.id.empty()) return line;
  line["id"] = message.id;
  bool is_name = message.status.starts_with("Pulling from ");
  if (is_name) return line;
  line["progressDetail"] = Json::object();
  if (message.total != 0) line["progressDetail"] = {{"current", message.current}, {"total", message.total}};
  return line;
}

registry::MessageCallback messages_to(JsonLines& lines) {
  JsonLines* target = &lines;
  return [target](const registry::Message& message) {
    target->push(message_line(message),
                 message.total != 0 ? JsonLines::Weight::Progress : JsonLines::Weight::Message);
  };
}

Outcome pull_into(Context& context, JsonLines& lines, registry::PullRequest request) {
  auto pulling = context.engine().registries().pull(std::move(request), messages_to(lines));
  // Who hangs up gives up; the pull goes on if somebody else waits for it.
  auto waited = io::unless_cancelled(std::move(pulling), context.exchange().client_gone());
  CO_CHECK(co_await std::move(waited));
  co_return Result<void>();
}

Outcome push_into(Context& context, JsonLines& lines, registry::PushRequest request) {
  auto pushing = context.engine().registries().push(std::move(request), messages_to(lines));
  auto waited = io::unless_cancelled(std::move(pushing), context.exchange().client_gone());
  CO_CHECK(co_await std::move(waited));
  co_return Result<void>();
}

/// fromImage and tag, which may be a digest; a name alone (or one that ends in ':') means all its tags.
Result<registry::PullRequest> pull_request(Context& context, std::optional<spec::Platform> platform) {
  std::string name = context.text("fromImage");
  if (name.ends_with(':')) name.pop_back();
  TRY(spec::Reference reference, spec::Reference::parse(name));
  if (std::string tag = context.text("tag"); !tag.empty()) {
    if (tag.find(':') != std::string::npos) {
      auto digest = Digest::parse(tag);
      if (!digest) return Error(Kind::InvalidArgument, "invalid reference format");
      reference = reference.without_tag_and_digest().with_digest(std::move(*digest));
    } else if (!spec::is_valid_tag(tag)) {
      return failure(Kind::InvalidArgument, "invalid tag format: {}", tag.substr(0, 200));
    } else if (!reference.digest()) {
      reference = reference.with_tag(std::move(tag));
    }
  }
  return registry::PullRequest{.reference = reference,
                               .all_tags = reference.is_name_only(),
                               .platform = std::move(platform),
                               .all_platforms = context.flag("allPlatforms"),
                               .credentials = credentials_of(context)};
}

/// platform={"os":...,"architecture":...}, as docker's clients send it since 1.46.
Result<std::optional<spec::Platform>> push_platform(Context& context) {
  std::string text = context.text("platform");
  if (text.empty()) return std::optional<spec::Platform>();
  TRY(auto platform, platform_of_json(text));
  return std::optional<spec::Platform>(std::move(platform));
}

Outcome push(Context& context) {
  CO_TRY(spec::Reference reference, spec::Reference::parse(context.capture()));
  if (reference.digest()) co_return Error(Kind::InvalidArgument, "cannot push a digest reference");
  if (std::string tag = context.text("tag"); !tag.empty()) {
    if (!spec::is_valid_tag(tag))
      co_return failure(Kind::InvalidArgument, "invalid tag format: {}", tag.substr(0, 200));
    reference = reference.with_tag(std::move(tag));
  }
  CO_TRY(auto platform, push_platform(context));
  registry::PushRequest request{.reference = std::move(reference),
                                .platform = std::move(platform),
                                .credentials = credentials_of(context)};
  JsonLines lines(context.exchange());
  co_return co_await lines.run(push_into(context, lines, std::move(request)));
}

Outcome search(Context& context) {
  registry::SearchRequest request{.term = context.text("term"), .credentials = credentials_of(context)};
  if (request.term.empty()) co_return Error(Kind::InvalidArgument, "bad parameter: term is needed");
  CO_TRY(auto limit, context.integer("limit"));
  if (limit && *limit != 0) {
    if (*limit < 0 || *limit > 100)
      co_return failure(Kind::InvalidArgument, "limit {} is outside the range of [1, 100]", *limit);
    request.limit = static_cast<unsigned>(*limit);
  }
  CO_TRY(auto filters, context.filters());
  CO_TRY(auto results, co_await context.engine().registries().search(std::move(request), std::move(filters)));
  Json answer = Json::array();
  for (const registry::SearchResult& result : results) {
    answer.push_back({{"name", result.name},
                      {"description", result.description},
                      {"star_count", result.stars},
                      {"is_official", result.official},
                      {"is_automated", result.automated}});
  }
  co_return co_await context.json(200, std::move(answer));
}

Outcome auth(Context& context) {
  CO_TRY(std::string body, co_await context.json_body());
  CO_TRY(registry::Credentials credentials, registry::parse_credentials(body));
  CO_TRY(auto login, co_await context.engine().registries().login(std::move(credentials)));
  Json answer = {{"Status", "Login Succeeded"}, {"IdentityToken", login.identity_token}};
  co_return co_await context.json(200, std::move(answer));
}

Outcome distribution(Context& context) {
  CO_TRY(auto image,
         co_await context.engine().registries().inspect(context.capture(), credentials_of(context)));
  Json platforms = Json::array();
  for (const spec::Platform& platform : image.platforms) platforms.push_back(spec::to_json_value(platform));
  Json answer = {{"Descriptor",
                  {{"mediaType", image.descriptor.media_type},
                   {"digest", image.descriptor.digest.str()},
                   {"size", image.descriptor.size}}},
                 {"Platforms", std::move(platforms)}};
  co_return co_await context.json(200, std::move(answer));
}

io::Task<Result<std::vector<registry::ArtifactFile>>> fetch_artifact(Context& context,
                                                                     registry::ArtifactRequest request) {
  const registry::Settings settings = context.engine().registries().settings();
  storage::ImageStore* store = &context.engine().image_store();
  auto work = [settings, store, request](std::stop_token stop) {
    return registry::fetch_artifact(settings, *store, request, std::move(stop));
  };
  co_return co_await context.loop().on_worker(std::move(work));
}

/// ?ref=NAME&type=ARTIFACT-TYPE&config=CONFIG-TYPE: the files of a small artifact, each
/// {"MediaType", "Annotations", "Content" (base64)}.
Outcome artifact(Context& context) {
  const std::string name = context.text("ref");
  CO_TRY(auto reference, spec::Reference::parse(name));
  registry::ArtifactRequest request{.reference = std::move(reference),
                                    .type = context.text("type"),
                                    .config_type = context.text("config"),
                                    .credentials = credentials_of(context)};
  if (request.type.empty()) co_return Error(Kind::InvalidArgument, "an artifact's type must be given");
  auto fetching = fetch_artifact(context, std::move(request));
  auto waited = io::unless_cancelled(std::move(fetching), context.exchange().client_gone());
  CO_TRY(const auto files, co_await std::move(waited));
  Json answer = Json::array();
  for (const registry::ArtifactFile& file : files) {
    answer.push_back({{"MediaType", file.media_type},
                      {"Annotations", file.annotations},
                      {"Content", to_base64(file.content)}});
  }
  co_return co_await context.json(200, std::move(answer));
}

Result<std::vector<registry::ArtifactFile>> files_of(const Json& list) {
  if (!list.is_array()) return Error(Kind::InvalidArgument, "an artifact is a list of files");
  std::vector<registry::ArtifactFile> files;
  for (const Json& one : list) {
    registry::ArtifactFile file;
    TRY(file.media_type, json_string(one, "MediaType"));
    TRY(file.annotations, json_string_map(one, "Annotations"));
    TRY(const std::string encoded, json_string(one, "Content"));
    auto content = from_base64(encoded);
    if (!content) return Error(Kind::InvalidArgument, "Content is no base64");
    file.content = std::move(*content);
    files.push_back(std::move(file));
  }
  return files;
}

io::Task<Result<Digest>> push_artifact(Context& context, registry::ArtifactRequest request,
                                       std::vector<registry::ArtifactFile> files,
                                       registry::ArtifactForm form) {
  const registry::Settings settings = context.engine().registries().settings();
  storage::ImageStore* store = &context.engine().image_store();
  auto work = [settings, store, request, files, form](std::stop_token stop) {
    return registry::push_artifact(settings, *store, request, files, form, std::move(stop));
  };
  co_return co_await context.loop().on_worker(std::move(work));
}

/// The same the other way round: ?ref=&type=&config=&form=oci-1.0|oci-1.1, and the files as the body.
Outcome publish_artifact(Context& context) {
  const std::string name = context.text("ref"), form = context.text("form");
  CO_TRY(auto reference, spec::Reference::parse(name));
  registry::ArtifactRequest request{.reference = std::move(reference),
                                    .type = context.text("type"),
                                    .config_type = context.text("config"),
                                    .credentials = credentials_of(context)};
  if (request.type.empty() || request.config_type.empty())
    co_return Error(Kind::InvalidArgument, "types of artifact and config must be given");
  if (!form.empty() && form != "oci-1.0" && form != "oci-1.1")
    co_return failure(Kind::InvalidArgument, "form is oci-1.0 or oci-1.1, not \"{}\"", form);
  CO_TRY(const std::string text, co_await context.json_body());
  CO_TRY(const Json body, parse_json(text, {.max_bytes = max_json_body}));
  CO_TRY(auto files, files_of(body));
  const auto shape = form == "oci-1.0" ? registry::ArtifactForm::Oci10 : registry::ArtifactForm::Oci11;
  auto pushing = push_artifact(context, std::move(request), std::move(files), shape);
  auto waited = io::unless_cancelled(std::move(pushing), context.exchange().client_gone());
  CO_TRY(const Digest digest, co_await std::move(waited));
  Json answer = {{"Digest", digest.str()}};
  co_return co_await context.json(201, std::move(answer));
}

constexpr Route routes[] = {
    {"GET", "/berth/artifacts", artifact},
    {"POST", "/berth/artifacts", publish_artifact},
    {"GET", "/images/search", search},
    {"POST", "/images/{name*}/push", push},
    {"POST", "/auth", auth},
    {"GET", "/distribution/{name*}/json", distribution},
};

}  // namespace

Result<spec::Platform> platform_of_json(std::string_view text) {
  TRY(Json object, parse_json(text));
  spec::Platform platform;
  TRY(platform.os, json_string(object, "os"));
  TRY(platform.architecture, json_string(object, "architecture"));
  TRY(platform.variant, json_string(object, "variant"));
  return platform;
}

io::Task<Result<void>> pull_image(Context& context, std::optional<spec::Platform> platform) {
  CO_TRY(auto request, pull_request(context, std::move(platform)));
  JsonLines lines(context.exchange());
  co_return co_await lines.run(pull_into(context, lines, std::move(request)));
}

std::span<const Route> registry_routes() {
  return routes;
}

}  // namespace berth::api
