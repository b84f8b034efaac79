// /images and /commit, and berth's own /berth/bootstrap.
#include <fcntl.h>

#include <chrono>

#include "api/docker/byte_bridge.h"
#include "api/docker/json_lines.h"
#include "api/docker/object_json.h"
#include "api/docker/router.h"
#include "api/docker/routes_registry.h"
#include "base/format.h"
#include "base/json.h"
#include "build/fetch.h"
#include "engine/progress_relay.h"
#include "io/cancel.h"
#include "spec/reference.h"
#include "spec/url_credentials.h"
#include "sys/file.h"

namespace berth::api {
namespace {

using Outcome = io::Task<Result<void>>;

Outcome list(Context& context) {
  engine::ListImages query;
  query.all = context.flag("all");
  query.shared_size = context.since(1, 42) && context.flag("shared-size");
  CO_TRY(query.filters, context.filters());
  CO_TRY(auto images, co_await context.engine().images().list(std::move(query)));
  Json answer = Json::array();
  bool manifests = context.flag("manifests");
  for (const engine::ImageSummary& image : images) {
    Json summary = image_summary_json(image, context.version());
    if (manifests) {
      // A filter may have left out the name that the index is known by.
      CO_TRY(auto whole, context.engine().image_store().get(image.image.id));
      CO_TRY(auto index, context.engine().image_store().indexes().of_names(whole.repo_digests));
      summary["Manifests"] = image_manifests_json(index, whole);
    }
    answer.push_back(std::move(summary));
  }
  co_return co_await context.json(200, std::move(answer));
}

/// `platform` is a plain os/arch on some routes and a JSON object on others.
Result<std::optional<spec::Platform>> platform_parameter(Context& context) {
  std::string text = context.text("platform");
  if (text.empty()) return std::optional<spec::Platform>();
  if (!text.starts_with('{')) {
    TRY(auto platform, spec::Platform::parse(text));
    return std::optional<spec::Platform>(std::move(platform));
  }
  TRY(auto platform, platform_of_json(text));
  return std::optional<spec::Platform>(std::move(platform));
}

/// The image that the path names. What can be no name is the client's mistake, not a missing image.
Result<std::string> image_reference(Context& context) {
  std::string name = context.capture();
  bool is_id = name.size() <= 64 && name.find_first_not_of("0123456789abcdef") == std::string::npos;
  if (!is_id) CHECK(spec::Reference::parse(name));
  return name;
}

Outcome inspect(Context& context) {
  CO_TRY(std::string name, image_reference(context));
  CO_TRY(auto platform, platform_parameter(context));
  CO_TRY(auto image, context.engine().images().find(name));
  if (platform && !spec::matches(*platform, image.config->platform)) {
    co_return failure(Kind::NotFound,
                      "image with reference {} was found but its platform ({}) does not match the specified "
                      "platform ({})",
                      name, image.config->platform.str(), platform->str());
  }
  Json answer = image_inspect_json(image, context.version());
  if (context.flag("manifests")) {
    CO_TRY(auto index, context.engine().image_store().indexes().of_names(image.repo_digests));
    answer["Manifests"] = image_manifests_json(index, image);
  }
  co_return co_await context.json(200, std::move(answer));
}

Outcome history(Context& context) {
  CO_TRY(std::string name, image_reference(context));
  CO_TRY(auto items, co_await context.engine().images().history(std::move(name)));
  Json answer = history_json(items);
  co_return co_await context.json(200, std::move(answer));
}

Outcome tag(Context& context) {
  CO_CHECK(
      co_await context.engine().images().tag(context.capture(), context.text("repo"), context.text("tag")));
  co_return co_await context.empty(201);
}

Outcome remove(Context& context) {
  storage::RemoveOptions options;
  options.force = context.flag("force");
  options.prune_parents = !context.flag("noprune");
  const bool is_blank = context.capture().find_first_not_of(" \t\n") == std::string::npos;
  if (is_blank) co_return Error(Kind::InvalidArgument, "image name cannot be blank");
  CO_TRY(std::string name, image_reference(context));
  CO_TRY(auto names, co_await context.engine().images().remove(std::move(name), options));
  Json answer = removed_names_json(names);
  co_return co_await context.json(200, std::move(answer));
}

Outcome prune(Context& context) {
  CO_TRY(auto filters, context.filters());
  CO_TRY(auto report, co_await context.engine().images().prune(std::move(filters)));
  Json removed = report.removed.empty() ? Json(nullptr) : removed_names_json(report.removed);
  Json answer = {{"ImagesDeleted", std::move(removed)}, {"SpaceReclaimed", report.reclaimed_bytes}};
  co_return co_await context.json(200, std::move(answer));
}

Json progress_line(const storage::Progress& progress) {
  Json line = {{"status", progress.status}};
  if (!progress.id.empty()) line["id"] = progress.id;
  line["progressDetail"] = Json::object();
  if (progress.current != 0 || progress.total != 0) line["progressDetail"]["current"] = progress.current;
  if (progress.total != 0) line["progressDetail"]["total"] = progress.total;
  return line;
}

storage::ProgressCallback progress_to(JsonLines& lines) {
  JsonLines* target = &lines;
  return [target](const storage::Progress& progress) {
    target->push(progress_line(progress), JsonLines::Weight::Progress);
  };
}

/// What a quiet load tells all the same: that a name has moved.
storage::ProgressCallback remarks_to(JsonLines& lines) {
  JsonLines* target = &lines;
  return [target](const storage::Progress& progress) {
    if (progress.id.empty() && progress.total == 0) target->push({{"stream", progress.status + "\n"}});
  };
}

Outcome load_into(Context& context, JsonLines& lines, storage::ByteSource& source, bool quiet,
                  std::optional<spec::Platform> platform) {
  storage::ProgressCallback progress = quiet ? remarks_to(lines) : progress_to(lines);
  CO_TRY(auto images,
         co_await context.engine().images().load(source, std::move(platform), std::move(progress)));
  for (const storage::LoadedImage& image : images) {
    for (const std::string& name : image.names) lines.push({{"stream", "Loaded image: " + name + "\n"}});
    if (image.names.empty()) lines.push({{"stream", "Loaded image ID: " + image.id.str() + "\n"}});
  }
  co_return Result<void>();
}

Outcome load(Context& context) {
  bool quiet = context.flag("quiet", true);
  CO_TRY(auto platform, platform_parameter(context));
  BodySource source(context.loop(), context.exchange());
  JsonLines lines(context.exchange());
  lines.answer_in_band();
  co_return co_await lines.run(load_into(context, lines, source, quiet, std::move(platform)));
}

/// A repository stands for all its tags, also when "latest" is none of them.
bool is_repository_without_latest(Context& context, const std::string& name) {
  auto reference = spec::Reference::parse(name);
  if (!reference || !reference->is_name_only() || context.engine().images().find(name)) return false;
  auto images = context.engine().image_store().list(true);
  if (!images) return false;
  const std::string beginning = reference->familiar_name() + ":";
  return std::any_of(images->begin(), images->end(), [&](const storage::Image& image) {
    return std::any_of(image.repo_tags.begin(), image.repo_tags.end(),
                       [&](const std::string& tag) { return tag.starts_with(beginning); });
  });
}

/// The image, and that it is here for the platform, if one is asked for.
Result<void> find_for_save(Context& context, const std::string& name,
                           const std::optional<spec::Platform>& platform) {
  if (is_repository_without_latest(context, name)) return {};
  TRY(auto image, context.engine().images().find(name));
  if (!platform || spec::matches(*platform, image.config->platform)) return {};
  TRY(auto index, context.engine().image_store().indexes().of_names(image.repo_digests));
  if (index && storage::find_platform(index->images, *platform) != nullptr) return {};
  return failure(Kind::NotFound, "image {} is not here for {}: pull it with --platform or --all-platforms",
                 name, platform->str());
}

Outcome save_images(Context& context, std::vector<std::string> names) {
  if (context.exchange().query().all("platform").size() > 1)
    co_return Error(Kind::InvalidArgument, "multiple platform parameters not supported");
  CO_TRY(auto platform, platform_parameter(context));
  // Found out before the stream begins, so that the answer can still be 404.
  for (const std::string& name : names) CO_CHECK(find_for_save(context, name, platform));
  BodySink sink(context.loop(), context.exchange(), "application/x-tar");
  co_return co_await sink.run(context.engine().images().save(std::move(names), std::move(platform), sink));
}

Outcome save_one(Context& context) {
  std::vector<std::string> names = {context.capture()};
  co_return co_await save_images(context, std::move(names));
}

Outcome save_many(Context& context) {
  std::vector<std::string> names;
  for (std::string_view name : context.exchange().query().all("names")) names.emplace_back(name);
  co_return co_await save_images(context, std::move(names));
}

/// Nothing is told before the image is there: the first line is its id, and a failure is the answer's status.
Outcome import_into(Context& context, JsonLines& lines, storage::ByteSource& source,
                    engine::Images::Import options) {
  CO_TRY(Digest id,
         co_await context.engine().images().import(source, std::move(options), storage::ProgressCallback()));
  lines.push({{"status", id.str()}});
  co_return Result<void>();
}

using SpooledDownload = std::unique_ptr<storage::FileSource>;

/// What is at a URL, in a file without a name.
io::Task<Result<SpooledDownload>> download(Context& context, std::string url,
                                           storage::ProgressCallback progress) {
  const std::string directory = context.engine().options().data_root + "/tmp";
  const auto relay = engine::ProgressRelay::to(context.loop(), std::move(progress));
  build::FetchRequest request{.url = std::move(url)};
  auto last_told = std::make_shared<std::optional<std::chrono::steady_clock::time_point>>();
  request.progress = [tell = relay.callback(), last_told](uint64_t current, uint64_t total) {
    const auto time = std::chrono::steady_clock::now();
    if (*last_told && time - **last_told < std::chrono::milliseconds(100)) return;
    *last_told = time;
    tell({.id = "", .status = "Importing", .current = current, .total = total});
  };
  auto work = [request = std::move(request),
               directory](std::stop_token stop) mutable -> Result<SpooledDownload> {
    request.stop = std::move(stop);
    CHECK(sys::make_dirs(directory));
    TRY(auto fd, sys::open_file(directory.c_str(), O_TMPFILE | O_RDWR, 0600));
    storage::FdSink sink(fd.get());
    CHECK(build::fetch(request, sink));
    return storage::FileSource::whole(std::move(fd));
  };
  co_return co_await context.loop().on_worker(std::move(work));
}

/// As with an archive in the body, but that bytes are told of as they come.
Outcome import_from(Context& context, JsonLines& lines, std::string url, engine::Images::Import options) {
  const std::string shown = spec::without_credentials(url);
  JsonLines* to = &lines;
  auto begun = std::make_shared<bool>(false);
  storage::ProgressCallback progress = [to, shown, begun](const storage::Progress& step) {
    if (!std::exchange(*begun, true)) to->push({{"status", "Downloading from " + shown}});
    to->push(progress_line(step), JsonLines::Weight::Progress);
  };
  auto downloading = download(context, std::move(url), std::move(progress));
  auto waited = io::unless_cancelled(std::move(downloading), context.exchange().client_gone());
  CO_TRY(auto archive, co_await std::move(waited));
  Outcome importing = import_into(context, lines, *archive, std::move(options));
  co_return co_await std::move(importing);
}

/// docker takes what has no scheme for http.
Result<std::string> source_url(std::string name) {
  if (name.find("://") == std::string::npos) name = "http://" + name;
  if (name.starts_with("http://") || name.starts_with("https://")) return name;
  return failure(Kind::InvalidArgument, "cannot import from {}: http and https URLs are understood",
                 spec::without_credentials(name).substr(0, 300));
}

/// POST /images/create: import (fromSrc) or pull (fromImage).
Outcome create(Context& context) {
  std::string image = context.text("fromImage");
  std::string source_name = context.text("fromSrc");
  if (!image.empty()) {
    CO_TRY(auto platform, platform_parameter(context));
    co_return co_await pull_image(context, std::move(platform));
  }
  if (source_name.empty())
    co_return Error(Kind::InvalidArgument, "bad parameter: one of fromImage and fromSrc is needed");
  engine::Images::Import options;
  options.repository = context.text("repo");
  options.tag = context.text("tag");
  options.message = context.text("message");
  for (std::string_view change : context.exchange().query().all("changes"))
    options.changes.emplace_back(change);
  CO_TRY(options.platform, platform_parameter(context));
  if (options.platform && options.platform->os != "linux")
    co_return failure(Kind::InvalidArgument, "operating system is not supported: {}", options.platform->os);
  JsonLines lines(context.exchange());
  if (source_name != "-") {
    CO_TRY(std::string url, source_url(std::move(source_name)));
    if (options.message.empty()) options.message = "Imported from " + spec::without_credentials(url);
    co_return co_await lines.run(import_from(context, lines, std::move(url), std::move(options)));
  }
  BodySource source(context.loop(), context.exchange());
  co_return co_await lines.run(import_into(context, lines, source, std::move(options)));
}

Outcome commit(Context& context) {
  CO_TRY(std::string body, co_await context.json_body());
  engine::CommitOptions options;
  options.repository = context.text("repo");
  options.tag = context.text("tag");
  options.comment = context.text("comment");
  options.author = context.text("author");
  options.pause = context.flag("pause", true);
  for (std::string_view change : context.exchange().query().all("changes"))
    options.changes.emplace_back(change);
  if (!body.empty()) {
    CO_TRY(Json object, parse_json(body));
    if (object.is_object() && !object.empty()) {
      CO_TRY(options.config, spec::parse_container_config(object));
    }
  }
  CO_TRY(Digest id,
         co_await context.engine().containers().commit(context.text("container"), std::move(options)));
  Json answer = {{"Id", id.str()}};
  co_return co_await context.json(201, std::move(answer));
}

Outcome bootstrap_into(Context& context, JsonLines& lines, std::string name) {
  JsonLines* target = &lines;
  std::function<void(std::string_view)> progress = [target](std::string_view line) {
    target->push({{"status", std::string(line)}});
  };
  CO_TRY(auto made, co_await context.engine().images().bootstrap(std::move(name), std::move(progress)));
  lines.push({{"aux", {{"ID", made.id.str()}, {"Name", made.name}}}});
  lines.push({{"status", "Made " + made.name + " " + made.id.str()}});
  co_return Result<void>();
}

/// berth's own: POST /berth/bootstrap?image=debian:bookworm
Outcome bootstrap(Context& context) {
  std::string name = context.text("image");
  if (name.empty()) co_return Error(Kind::InvalidArgument, "bad parameter: image is needed");
  JsonLines lines(context.exchange());
  co_return co_await lines.run(bootstrap_into(context, lines, std::move(name)));
}

constexpr Route routes[] = {
    {"GET", "/images/json", list},
    {"GET", "/images/get", save_many},
    {"POST", "/images/create", create},
    {"POST", "/images/load", load},
    {"POST", "/images/prune", prune},
    {"GET", "/images/{name*}/json", inspect},
    {"GET", "/images/{name*}/history", history},
    {"GET", "/images/{name*}/get", save_one},
    {"POST", "/images/{name*}/tag", tag},
    {"DELETE", "/images/{name*}", remove},
    {"POST", "/commit", commit},
    {"POST", "/berth/bootstrap", bootstrap},
};

}  // namespace

std::span<const Route> image_routes() {
  return routes;
}

}  // namespace berth::api
