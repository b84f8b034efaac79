// POST /berth/build: a build as POST /build has it, with what docker's route cannot carry: the Dockerfile's
// text, secrets, and progress as structured events (docs/extensions.md).
#include <algorithm>
#include <array>

#include "api/docker/build_blobs.h"
#include "api/docker/build_caches.h"
#include "api/docker/build_request.h"
#include "api/docker/router.h"
#include "base/bytes.h"
#include "base/format.h"
#include "base/json.h"
#include "io/cancel.h"

namespace berth::api {
namespace {

using Outcome = io::Task<Result<void>>;

/// The first line of the body: a Dockerfile and secrets together.
constexpr size_t max_preamble_bytes = size_t{16} << 20;
constexpr size_t max_secrets = 256;

/// The body's first line, and what has been read behind it.
struct Preamble {
  std::string line;
  std::string rest;
};

io::Task<Result<Preamble>> read_preamble(io::Exchange& exchange) {
  Preamble preamble;
  std::array<char, 16384> buffer;
  while (true) {
    CO_TRY(size_t count, co_await exchange.read_some(buffer));
    if (count == 0)
      co_return Error(Kind::InvalidArgument, "the body ends before its first line, a JSON object, does");
    std::string_view bytes(buffer.data(), count);
    size_t end = bytes.find('\n');
    if (preamble.line.size() + std::min(end, count) > max_preamble_bytes) {
      co_return failure(Kind::InvalidArgument, "the body's first line is longer than {} bytes",
                        max_preamble_bytes);
    }
    preamble.line.append(bytes.substr(0, end));
    if (end == bytes.npos) continue;
    preamble.rest = bytes.substr(end + 1);
    co_return preamble;
  }
}

/// {"Dockerfile": "FROM ...", "Secrets": {"id": "<base64>"}, "Agents": {"id": "/path/of/socket"},
///  "Contexts": {"name": "image"}, "Context": true, "InlineCache": true, and what
///  parse_build_caches() reads}
Result<bool> apply_preamble(std::string_view line, build::BuildRequest& request, BuildCaches& caches) {
  TRY(Json object, parse_json(line, {.max_bytes = max_preamble_bytes}));
  if (!object.is_object()) return Error(Kind::InvalidArgument, "the body's first line must be a JSON object");
  TRY(std::string dockerfile, json_string(object, "Dockerfile"));
  if (!dockerfile.empty()) request.dockerfile_text = std::move(dockerfile);
  TRY(auto secrets, json_string_map(object, "Secrets"));
  if (secrets.size() > max_secrets)
    return failure(Kind::InvalidArgument, "a build has {} secrets at most", max_secrets);
  for (auto& [id, encoded] : secrets) {
    auto content = from_base64(encoded);
    if (!content) return failure(Kind::InvalidArgument, "secret \"{}\" is not base64", id.substr(0, 128));
    request.secrets[id] = std::move(*content);
  }
  TRY(request.agents, json_string_map(object, "Agents"));
  if (request.agents.size() > max_secrets)
    return failure(Kind::InvalidArgument, "a build has {} SSH agents at most", max_secrets);
  TRY(request.contexts, json_string_map(object, "Contexts"));
  TRY(caches, parse_build_caches(object));
  TRY(request.inline_cache, json_bool(object, "InlineCache"));
  return json_bool(object, "Context", true);
}

Json event_json(const build::StepStarted& event) {
  return {{"event", "step"},      {"step", event.step},       {"total", event.total},
          {"stage", event.stage}, {"onbuild", event.onbuild}, {"instruction", event.instruction}};
}
Json event_json(const build::StepAwaited& event) {
  return {
      {"event", "awaited"}, {"step", event.step}, {"total", event.total}, {"instruction", event.instruction}};
}
Json event_json(const build::StepCached& event) {
  return {{"event", "cached"}, {"step", event.step}};
}
Json event_json(const build::StepRunning& event) {
  return {{"event", "running"}, {"step", event.step}, {"container", event.container_id}};
}
Json event_json(const build::StepLog& event) {
  int stream = event.stream == build::OutputStream::Stderr ? 2 : 1;
  return {{"event", "log"}, {"step", event.step}, {"stream", stream}, {"bytes", to_base64(event.bytes)}};
}
Json event_json(const build::StepTransfer& event) {
  return {{"event", "transfer"},
          {"step", event.step},
          {"what", event.what},
          {"current", event.current},
          {"total", event.total}};
}
Json event_json(const build::ContextFetching& event) {
  return {{"event", "transfer"},
          {"step", 0},
          {"what", "Fetching the build context from " + event.from},
          {"current", 0},
          {"total", 0}};
}
Json event_json(const build::StepCompleted& event) {
  return {{"event", "done"}, {"step", event.step}, {"id", event.id}, {"ns", event.duration.count()}};
}
Json event_json(const build::BuildWarning& event) {
  Json json = {{"event", "warning"},
               {"text", event.text},
               {"line", event.lines.first},
               {"last_line", event.lines.last}};
  if (event.rule != nullptr) {
    json["rule"] = event.rule->name;
    json["description"] = event.rule->description;
    json["url"] = event.rule->url();
  }
  return json;
}
Json event_json(const build::ImageResolved& event) {
  Json json = {{"event", "image"},
               {"reference", event.reference},
               {"platform", event.platform},
               {"id", event.id.str()}};
  if (event.digest) json["digest"] = event.digest->str();
  return json;
}
Json event_json(const build::ImageBuilt& event) {
  return {{"event", "built"}, {"id", event.id.str()}};
}
Json event_json(const build::ImageTagged& event) {
  return {{"event", "tagged"}, {"reference", event.reference}};
}
Json event_json(const build::BuildFailed& event) {
  return {{"event", "failed"},       {"message", event.message},        {"exit_code", event.exit_code},
          {"file", event.file},      {"first_line", event.lines.first}, {"last_line", event.lines.last},
          {"excerpt", event.excerpt}};
}

class EventLines : public build::ProgressSink {
 public:
  explicit EventLines(JsonLines& lines) : lines_(lines) {}
  void report(const build::ProgressEvent& event) override {
    const auto* warning = std::get_if<build::BuildWarning>(&event);
    if (warning != nullptr && warning->classic_only) return;
    auto weight = std::holds_alternative<build::StepTransfer>(event) ? JsonLines::Weight::Progress
                                                                     : JsonLines::Weight::Message;
    lines_.push(std::visit([](const auto& one) { return event_json(one); }, event), weight);
  }

 private:
  JsonLines& lines_;
};

/// Work with caches as events of its own: {"event": "task", "name"} and {"event": "task_done", "name",
/// "reason"}, with a reason when it has failed.
CacheObserver cache_events(JsonLines& lines) {
  JsonLines* to = &lines;
  return {.begun =
              [to](const std::string& name) {
                to->push({{"event", "task"}, {"name", name}});
              },
          .ended =
              [to](const std::string& name, const std::string& error) {
                to->push({{"event", "task_done"}, {"name", name}, {"reason", error}});
              },
          .ask = [to](Json request) { to->push(request); }};
}

/// The same among docker's classic lines; what the client is asked for is {"aux": {"event", ...}}.
CacheObserver cache_lines(JsonLines& lines, ClassicBuildLines::Verbosity verbosity) {
  JsonLines* to = &lines;
  auto say = [to, verbosity](const std::string& text) {
    if (verbosity == ClassicBuildLines::Verbosity::All) to->push({{"stream", text + "\n"}});
  };
  return {.begun = say,
          .ended =
              [say](const std::string& name, const std::string& error) {
                if (!error.empty()) say(fmt::format("{}: {}", name, error));
              },
          .ask =
              [to](Json request) {
                to->push({{"aux", std::move(request)}});
              }};
}

Outcome build_with_caches(Context& context, build::BuildRequest request, BuildCaches caches,
                          CacheObserver observer, build::ProgressSink& sink) {
  std::string registries = request.registry_config;
  if (!caches.from.empty() && request.cache == build::CacheUse::Normal) {
    auto opening = open_build_caches(context, caches.from, registries, observer);
    request.cache_source = co_await std::move(opening);
  }
  auto building = run_build(context, std::move(request), sink);
  CO_TRY(auto built, co_await std::move(building));
  for (const CacheTarget& target : caches.to) {
    Outcome exporting = export_build_cache(context, target, built.steps, registries, observer);
    auto gone = context.exchange().client_gone();
    auto waiting = io::unless_cancelled(std::move(exporting), std::move(gone));
    CO_CHECK(co_await std::move(waiting));
  }
  co_return Result<void>();
}

Outcome build_with_events(Context& context) {
  CO_TRY(auto request, parse_build_parameters(context));
  io::Task<Result<Preamble>> reading = read_preamble(context.exchange());
  CO_TRY(Preamble preamble, co_await std::move(reading));
  BuildCaches caches;
  CO_TRY(bool has_context, apply_preamble(preamble.line, request, caches));
  if (std::string remote = context.text("remote"); !remote.empty()) {
    request.context = build::RemoteContext{std::move(remote)};
  } else if (has_context) {
    request.context =
        build::StreamContext{std::make_unique<BodyContext>(context.exchange(), std::move(preamble.rest))};
  }
  JsonLines lines(context.exchange());
  if (context.text("progress") == "classic") {
    auto verbosity =
        context.flag("q") ? ClassicBuildLines::Verbosity::Quiet : ClassicBuildLines::Verbosity::All;
    ClassicBuildLines sink(lines, verbosity);
    Outcome classic = build_with_caches(context, std::move(request), std::move(caches),
                                        cache_lines(lines, verbosity), sink);
    co_return co_await lines.run(std::move(classic));
  }
  EventLines sink(lines);
  lines.answer_in_band();
  Outcome building =
      build_with_caches(context, std::move(request), std::move(caches), cache_events(lines), sink);
  co_return co_await lines.run(std::move(building));
}

constexpr Route routes[] = {{"POST", "/berth/build", build_with_events},
                            {"PUT", "/berth/build/{token}/blobs/{digest}", take_build_blob},
                            {"GET", "/berth/build/{token}/blobs/{digest}", give_build_blob},
                            {"DELETE", "/berth/build/{token}/blobs/{digest}", refuse_build_blob},
                            {"DELETE", "/berth/build/{token}", end_build_transfer}};

}  // namespace

std::span<const Route> build_event_routes() {
  return routes;
}

}  // namespace berth::api
