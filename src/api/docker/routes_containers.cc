// /containers: create, list, inspect and everything that changes a container's state.
#include "api/docker/router.h"
#include "base/format.h"
#include "base/json.h"
#include "engine/checkpoints.h"
#include "sys/cgroup.h"

namespace berth::api {
namespace {

using Outcome = io::Task<Result<void>>;

/// Which image each name means now, looked up once for a list.
class NamedImages {
 public:
  explicit NamedImages(Context& context) : context_(context) {}
  /// Whether the name that a container was made with means another image by now.
  bool is_renamed(const engine::ContainerRecord& record) {
    auto [known, added] = ids_.try_emplace(record.config.image);
    if (added) {
      if (auto image = context_.engine().images().find(record.config.image)) known->second = image->id;
    }
    return known->second && *known->second != record.image_id;
  }

 private:
  Context& context_;
  std::map<std::string, std::optional<Digest>> ids_;
};

Outcome list(Context& context) {
  engine::ListContainers query;
  if (context.flag("all")) query.scope = engine::ListScope::All;
  CO_TRY(auto limit, context.integer("limit"));
  if (limit && *limit > 0) query.limit = static_cast<int>(std::min<int64_t>(*limit, INT32_MAX));
  CO_TRY(query.filters, context.filters());
  CO_TRY(auto records, context.engine().containers().list(query));
  CO_TRY(auto everyone, context.engine().containers().list({.scope = engine::ListScope::All}));
  auto link_names = link_names_of(everyone);
  bool sizes = context.flag("size");
  NamedImages names(context);
  std::string answer = "[";
  Timestamp time = now();
  for (const engine::ContainerPtr& record : records) {
    std::optional<engine::ContainerSize> size;
    if (sizes) {
      auto measured = co_await context.engine().containers().size(record->id);
      if (!measured) continue;  // removed meanwhile
      size = *measured;
    }
    if (answer.size() > 1) answer.push_back(',');
    SummaryView view{.version = context.version(), .image_renamed = names.is_renamed(*record)};
    if (auto found = link_names.find(record->id); found != link_names.end()) view.link_names = found->second;
    append_container_summary(answer, *record, size, time, view);
  }
  answer += "]\n";
  co_return co_await context.exchange().respond(200, "application/json", answer);
}

/// Behaviour that older API versions had by default (docker-api.md, section 4).
void apply_version(engine::CreateContainer& create, ApiVersion version, sys::CgroupVersion groups) {
  spec::CreateRequest& request = create.request;
  if (version < ApiVersion{1, 25}) request.host_config.auto_remove = false;
  if (version < ApiVersion{1, 40} && request.host_config.ipc_mode.empty())
    request.host_config.ipc_mode = "shareable";
  if (version < ApiVersion{1, 40} && request.host_config.cgroupns_mode.empty() &&
      groups != sys::CgroupVersion::V2)
    request.host_config.cgroupns_mode = "host";
  if (version < ApiVersion{1, 42}) request.host_config.console_size = {0, 0};
  if (version < ApiVersion{1, 43}) request.host_config.annotations.clear();
  if (version < ApiVersion{1, 44} && request.config.healthcheck)
    request.config.healthcheck->start_interval = 0;
  if (version < ApiVersion{1, 44}) create.read_only_reach = engine::CreateContainer::ReadOnlyReach::TopOnly;
}

/// What an older API has not: passing over it would be no answer.
Result<void> check_version(const spec::CreateRequest& request, ApiVersion version) {
  if (version >= ApiVersion{1, 44}) return {};
  for (const spec::MountRequest& mount : request.host_config.mounts) {
    if (mount.bind && mount.bind->read_only_force_recursive) {
      return Error(Kind::InvalidArgument, "BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer");
    }
  }
  // A container was made on one network, and connected to the others afterwards.
  if (request.endpoints.size() < 2) return {};
  std::string names;
  for (const auto& [name, settings] : request.endpoints) names += (names.empty() ? "" : ", ") + name;
  return failure(Kind::InvalidArgument, "Container cannot be created with multiple network endpoints: {}",
                 names);
}

Outcome create(Context& context) {
  CO_TRY(std::string body, co_await context.json_body());
  if (body.empty())
    co_return Error(Kind::InvalidArgument, "invalid JSON: got EOF while reading request body");
  engine::CreateContainer request;
  CO_TRY(request.request, spec::parse_create_request(body));
  CO_CHECK(check_version(request.request, context.version()));
  apply_version(request, context.version(), context.engine().cgroups().version());
  request.name = context.text("name");
  if (request.name.starts_with('/')) request.name.erase(0, 1);
  if (std::string platform = context.text("platform"); !platform.empty()) {
    CO_TRY(request.platform, spec::Platform::parse(platform));
  }
  CO_TRY(auto created, co_await context.engine().containers().create(std::move(request)));
  Json warnings = Json::array();
  for (const std::string& warning : created.warnings) warnings.push_back(warning);
  Json answer = {{"Id", created.id}, {"Warnings", std::move(warnings)}};
  co_return co_await context.json(201, std::move(answer));
}

Outcome inspect(Context& context) {
  CO_TRY(auto record, context.engine().containers().find(context.capture()));
  std::optional<engine::ContainerSize> size;
  if (context.flag("size")) {
    CO_TRY(size, co_await context.engine().containers().size(record->id));
  }
  Json answer = container_inspect_json(*record, size, context.version());
  add_system_paths(*record, context.engine().host_facts(), answer);
  co_return co_await context.json(200, std::move(answer));
}

Outcome start(Context& context) {
  const io::HttpRequestHead& head = context.exchange().request();
  bool has_body = head.body == io::HttpRequestHead::Body::Chunked || head.content_length > 7;
  if (has_body) {
    co_return Error(
        Kind::InvalidArgument,
        "starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24");
  }
  std::string checkpoint = context.text("checkpoint");
  if (checkpoint.empty()) {
    CO_CHECK(co_await context.engine().containers().start(context.capture()));
  } else {
    engine::Checkpoints checkpoints(context.engine());
    CO_CHECK(co_await checkpoints.start(context.capture(), checkpoint, context.text("checkpoint-dir")));
  }
  co_return co_await context.empty(204);
}

Result<engine::StopOptions> stop_options(Context& context) {
  engine::StopOptions options;
  if (context.since(1, 42)) options.signal = context.text("signal");
  TRY(auto timeout, context.integer("t"));
  if (timeout) options.timeout = static_cast<int>(std::clamp<int64_t>(*timeout, -1, INT32_MAX));
  return options;
}

Outcome stop(Context& context) {
  CO_TRY(auto options, stop_options(context));
  CO_CHECK(co_await context.engine().containers().stop(context.capture(), std::move(options)));
  co_return co_await context.empty(204);
}

Outcome restart(Context& context) {
  CO_TRY(auto options, stop_options(context));
  CO_CHECK(co_await context.engine().containers().restart(context.capture(), std::move(options)));
  co_return co_await context.empty(204);
}

Outcome kill(Context& context) {
  CO_CHECK(co_await context.engine().containers().kill(context.capture(), context.text("signal")));
  co_return co_await context.empty(204);
}

Outcome pause(Context& context) {
  CO_CHECK(co_await context.engine().containers().pause(context.capture()));
  co_return co_await context.empty(204);
}

Outcome unpause(Context& context) {
  auto done = co_await context.engine().containers().unpause(context.capture());
  // docker answers 500 for a container that is not paused, and its clients have an exception for each status.
  if (!done && done.error().kind() == Kind::WrongState) {
    Json answer = {{"message", done.error().message()}};
    co_return co_await context.json(500, std::move(answer));
  }
  CO_CHECK(std::move(done));
  co_return co_await context.empty(204);
}

Outcome rename(Context& context) {
  std::string name = context.text("name");
  if (name.starts_with('/')) name.erase(0, 1);
  CO_CHECK(co_await context.engine().containers().rename(context.capture(), std::move(name)));
  co_return co_await context.empty(204);
}

Outcome update(Context& context) {
  CO_TRY(std::string body, co_await context.json_body());
  CO_TRY(auto request, spec::parse_update_request(body.empty() ? "{}" : body));
  if (!context.since(1, 40)) request.resources.pids_limit.reset();
  CO_TRY(auto warnings, co_await context.engine().containers().update(context.capture(), std::move(request)));
  Json list = Json(nullptr);
  for (const std::string& warning : warnings) list.push_back(warning);
  Json answer = {{"Warnings", std::move(list)}};
  co_return co_await context.json(200, std::move(answer));
}

Outcome remove(Context& context) {
  engine::RemoveContainer options;
  if (context.flag("force")) options.force = engine::Force::Yes;
  if (context.flag("v")) options.volumes = engine::RemoveVolumes::Yes;
  options.link = context.flag("link");
  CO_CHECK(co_await context.engine().containers().remove(context.capture(), options));
  co_return co_await context.empty(204);
}

Outcome resize(Context& context) {
  CO_TRY(uint16_t height, context.terminal_size("h"));
  CO_TRY(uint16_t width, context.terminal_size("w"));
  CO_CHECK(co_await context.engine().containers().resize(context.capture(), height, width));
  co_return co_await context.empty(200);
}

Outcome top(Context& context) {
  CO_TRY(auto table,
         co_await context.engine().containers().top(context.capture(), context.text("ps_args", "-ef")));
  Json answer = top_json(table);
  co_return co_await context.json(200, std::move(answer));
}

Outcome changes(Context& context) {
  CO_TRY(auto list, co_await context.engine().containers().changes(context.capture()));
  Json answer = changes_json(list);
  co_return co_await context.json(200, std::move(answer));
}

Outcome prune(Context& context) {
  CO_TRY(auto filters, context.filters());
  CO_TRY(auto report, co_await context.engine().containers().prune(std::move(filters)));
  Json ids = Json(nullptr);
  for (const std::string& id : report.ids) ids.push_back(id);
  Json answer = {{"ContainersDeleted", std::move(ids)}, {"SpaceReclaimed", report.reclaimed_bytes}};
  co_return co_await context.json(200, std::move(answer));
}

constexpr Route routes[] = {
    {"GET", "/containers/json", list},
    {"POST", "/containers/create", create},
    {"POST", "/containers/prune", prune},
    {"GET", "/containers/{id*}/json", inspect},  // "web/db" is what "web" calls "db" by a link
    {"GET", "/containers/{id}/top", top},
    {"GET", "/containers/{id}/changes", changes},
    {"POST", "/containers/{id}/start", start},
    {"POST", "/containers/{id}/stop", stop},
    {"POST", "/containers/{id}/restart", restart},
    {"POST", "/containers/{id}/kill", kill},
    {"POST", "/containers/{id}/pause", pause},
    {"POST", "/containers/{id}/unpause", unpause},
    {"POST", "/containers/{id}/rename", rename},
    {"POST", "/containers/{id}/update", update},
    {"POST", "/containers/{id}/resize", resize},
    {"DELETE", "/containers/{id*}", remove},  // "web/db" is the link "db" of "web"
};

}  // namespace

std::span<const Route> container_routes() {
  return routes;
}

}  // namespace berth::api
