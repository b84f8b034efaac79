// /berth/...: what docker has no routes for: verbs of volumes, changes of running containers, run-time
// secrets, snapshots. Versioned as the others are; answers and errors have docker's shapes.
#include "api/docker/byte_bridge.h"
#include "api/docker/object_json.h"
#include "api/docker/router.h"
#include "base/format.h"
#include "base/json.h"

namespace berth::api {
namespace {

using Outcome = io::Task<Result<void>>;

Result<std::string> name_parameter(Context& context) {
  std::string name = context.text("name");
  if (name.empty()) return Error(Kind::InvalidArgument, "bad parameter: name cannot be empty");
  return name;
}

Outcome rename_volume(Context& context) {
  CO_TRY(std::string name, name_parameter(context));
  CO_TRY(auto volume, co_await context.engine().volumes().rename(context.capture(), std::move(name)));
  Json answer = volume_json(volume);
  co_return co_await context.json(200, std::move(answer));
}

Outcome clone_volume(Context& context) {
  CO_TRY(std::string name, name_parameter(context));
  CO_TRY(auto volume, co_await context.engine().volumes().clone(context.capture(), std::move(name)));
  Json answer = volume_json(volume);
  co_return co_await context.json(201, std::move(answer));
}

Outcome export_volume(Context& context) {
  CO_TRY(auto volume, context.engine().volumes().find(context.capture()));
  BodySink sink(context.loop(), context.exchange(), "application/x-tar");
  co_return co_await sink.run(context.engine().volumes().export_content(volume.name, sink));
}

Outcome import_volume(Context& context) {
  BodySource source(context.loop(), context.exchange());
  CO_TRY(auto volume, co_await context.engine().volumes().import_content(context.capture(), source));
  Json answer = volume_json(volume);
  co_return co_await context.json(200, std::move(answer));
}

/// {"Publish": {"80/tcp": [...]}, "Unpublish": {...}, "Mounts": [...], "Unmount": ["/x"], "Env": ["A=b"]}
Result<engine::LiveUpdate> parse_update(std::string_view body) {
  engine::LiveUpdate change;
  TRY(Json object, parse_json(body.empty() ? "{}" : body));
  if (!object.is_object()) return Error(Kind::InvalidArgument, "invalid JSON: the request must be an object");
  if (const Json* ports = json_member(object, "Publish")) {
    TRY(change.publish, spec::parse_port_map(*ports));
  }
  if (const Json* ports = json_member(object, "Unpublish")) {
    TRY(change.unpublish, spec::parse_port_map(*ports));
  }
  if (const Json* mounts = json_member(object, "Mounts")) {
    if (!mounts->is_array()) return Error(Kind::InvalidArgument, "invalid JSON: Mounts must be a list");
    for (const Json& entry : *mounts) {
      TRY(auto mount, spec::parse_mount_request(entry));
      change.mounts.push_back(std::move(mount));
    }
  }
  TRY(change.unmount, json_strings(object, "Unmount"));
  TRY(change.env, json_strings(object, "Env"));
  return change;
}

Outcome update_container(Context& context) {
  CO_TRY(std::string body, co_await context.json_body());
  CO_TRY(auto change, parse_update(body));
  CO_TRY(auto warnings,
         co_await context.engine().containers().update_live(context.capture(), std::move(change)));
  Json list = Json::array();
  for (const std::string& warning : warnings) list.push_back(warning);
  Json answer = {{"Warnings", std::move(list)}};
  co_return co_await context.json(200, std::move(answer));
}

/// The body is the secret itself.
Outcome put_secret(Context& context) {
  constexpr size_t longest = size_t{1} << 20;
  engine::Secret secret{.id = context.capture(1), .content = {}};
  CO_TRY(auto uid, context.integer("uid"));
  CO_TRY(auto gid, context.integer("gid"));
  CO_TRY(auto mode, context.integer("mode"));
  for (const auto& number : {uid, gid, mode}) {
    if (number && (*number < 0 || *number > UINT32_MAX))
      co_return Error(Kind::InvalidArgument, "uid, gid and mode are numbers that are not negative");
  }
  secret.uid = static_cast<uint32_t>(uid.value_or(0));
  secret.gid = static_cast<uint32_t>(gid.value_or(0));
  secret.mode = static_cast<uint32_t>(mode.value_or(secret.mode));
  CO_TRY(secret.content, co_await context.exchange().read_body(longest));
  CO_CHECK(co_await context.engine().containers().set_secret(context.capture(), std::move(secret)));
  co_return co_await context.empty(204);
}

Json snapshot_json(const engine::ContainerSnapshot& snapshot) {
  return {{"Name", snapshot.name}, {"Created", to_rfc3339(snapshot.created)}, {"Size", snapshot.bytes}};
}

Outcome make_snapshot(Context& context) {
  CO_TRY(std::string name, name_parameter(context));
  CO_TRY(auto snapshot, co_await context.engine().containers().snapshot(context.capture(), std::move(name)));
  Json answer = snapshot_json(snapshot);
  co_return co_await context.json(201, std::move(answer));
}

Outcome list_snapshots(Context& context) {
  CO_TRY(auto list, co_await context.engine().containers().snapshots(context.capture()));
  Json answer = Json::array();
  for (const auto& snapshot : list) answer.push_back(snapshot_json(snapshot));
  co_return co_await context.json(200, std::move(answer));
}

Outcome remove_snapshot(Context& context) {
  CO_CHECK(co_await context.engine().containers().remove_snapshot(context.capture(), context.capture(1)));
  co_return co_await context.empty(204);
}

Outcome rollback(Context& context) {
  CO_TRY(std::string name, name_parameter(context));
  CO_CHECK(co_await context.engine().containers().rollback(context.capture(), std::move(name)));
  co_return co_await context.empty(204);
}

Outcome clone_container(Context& context) {
  CO_TRY(auto made, co_await context.engine().containers().clone(context.capture(), context.text("name")));
  Json answer = {{"Id", made.id}, {"Warnings", made.warnings}};
  co_return co_await context.json(201, std::move(answer));
}

constexpr Route routes[] = {
    {"POST", "/berth/volumes/{name}/rename", rename_volume},
    {"POST", "/berth/volumes/{name}/clone", clone_volume},
    {"GET", "/berth/volumes/{name}/archive", export_volume},
    {"PUT", "/berth/volumes/{name}/archive", import_volume},
    {"POST", "/berth/containers/{id}/update", update_container},
    {"PUT", "/berth/containers/{id}/secrets/{secret}", put_secret},
    {"GET", "/berth/containers/{id}/snapshots", list_snapshots},
    {"POST", "/berth/containers/{id}/snapshots", make_snapshot},
    {"DELETE", "/berth/containers/{id}/snapshots/{name}", remove_snapshot},
    {"POST", "/berth/containers/{id}/rollback", rollback},
    {"POST", "/berth/containers/{id}/clone", clone_container},
};

}  // namespace

std::span<const Route> extension_routes() {
  return routes;
}

}  // namespace berth::api
