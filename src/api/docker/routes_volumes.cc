// /volumes
#include "api/docker/object_json.h"
#include "api/docker/router.h"
#include "api/docker/swarm_answer.h"
#include "base/json.h"

namespace berth::api {
namespace {

using Outcome = io::Task<Result<void>>;

Outcome list(Context& context) {
  CO_TRY(auto filters, context.filters());
  CO_TRY(auto volumes, context.engine().volumes().list(filters));
  Json entries = Json::array();
  for (const engine::VolumeRecord& volume : volumes) entries.push_back(volume_json(volume));
  Json answer = {{"Volumes", std::move(entries)}, {"Warnings", nullptr}};
  co_return co_await context.json(200, std::move(answer));
}

Outcome create(Context& context) {
  CO_TRY(std::string body, co_await context.json_body());
  CO_TRY(Json object, parse_json(body.empty() ? "{}" : body));
  if (!object.is_object())
    co_return Error(Kind::InvalidArgument, "invalid JSON: the request must be an object");
  engine::CreateVolume request;
  CO_TRY(request.name, json_string(object, "Name"));
  CO_TRY(request.driver, json_string(object, "Driver"));
  CO_TRY(request.driver_options, json_string_map(object, "DriverOpts"));
  CO_TRY(request.labels, json_string_map(object, "Labels"));
  CO_TRY(auto volume, co_await context.engine().volumes().create(std::move(request)));
  Json answer = volume_json(volume);
  co_return co_await context.json(201, std::move(answer));
}

Outcome inspect(Context& context) {
  CO_TRY(auto volume, context.engine().volumes().find(context.capture()));
  Json answer = volume_json(volume);
  co_return co_await context.json(200, std::move(answer));
}

Outcome remove(Context& context) {
  auto force = context.flag("force") ? engine::Force::Yes : engine::Force::No;
  CO_CHECK(co_await context.engine().volumes().remove(context.capture(), force));
  co_return co_await context.empty(204);
}

Outcome prune(Context& context) {
  CO_TRY(auto filters, context.filters());
  if (!context.since(1, 42)) filters["all"] = {"true"};  // before, named volumes were pruned as well
  CO_TRY(auto report, co_await context.engine().volumes().prune(std::move(filters)));
  Json names = Json(nullptr);
  for (const std::string& name : report.names) names.push_back(name);
  Json answer = {{"VolumesDeleted", std::move(names)}, {"SpaceReclaimed", report.reclaimed_bytes}};
  co_return co_await context.json(200, std::move(answer));
}

constexpr Route routes[] = {
    {"GET", "/volumes", list},
    {"POST", "/volumes/create", create},
    {"POST", "/volumes/prune", prune},
    {"GET", "/volumes/{name}", inspect},
    {"PUT", "/volumes/{name}", not_a_manager},
    {"DELETE", "/volumes/{name}", remove},
};

}  // namespace

std::span<const Route> volume_routes() {
  return routes;
}

}  // namespace berth::api
