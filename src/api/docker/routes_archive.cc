// /containers/{id}/archive (docker cp) and /export.
#include "api/docker/byte_bridge.h"
#include "api/docker/router.h"
#include "base/bytes.h"
#include "base/json.h"

namespace berth::api {
namespace {

using Outcome = io::Task<Result<void>>;

Result<std::string> path_parameter(Context& context) {
  std::string path = context.text("path");
  if (path.empty()) return Error(Kind::InvalidArgument, "bad parameter: path cannot be empty");
  return path;
}

void set_stat_header(Context& context, const storage::PathStat& stat) {
  context.exchange().set_header("X-Docker-Container-Path-Stat", to_base64(to_json(path_stat_json(stat))));
}

Outcome head(Context& context) {
  CO_TRY(std::string path, path_parameter(context));
  CO_TRY(auto stat, co_await context.engine().containers().stat_path(context.capture(), std::move(path)));
  set_stat_header(context, stat);
  co_return co_await context.empty(200);
}

Outcome get(Context& context) {
  CO_TRY(std::string path, path_parameter(context));
  BodySink sink(context.loop(), context.exchange(), "application/x-tar");
  Context* seen = &context;
  std::function<void(const storage::PathStat&)> ready = [seen](const storage::PathStat& stat) {
    set_stat_header(*seen, stat);
  };
  co_return co_await sink.run(
      context.engine().containers().copy_out(context.capture(), std::move(path), sink, std::move(ready)));
}

Outcome put(Context& context) {
  CO_TRY(std::string path, path_parameter(context));
  storage::CopyInOptions options;
  if (context.flag("noOverwriteDirNonDir")) options.overwrite = storage::Overwrite::SameKindOnly;
  auto owner = context.flag("copyUIDGID") ? engine::Containers::CopyOwner::ContainerUser
                                          : engine::Containers::CopyOwner::Archive;
  BodySource source(context.loop(), context.exchange());
  CO_CHECK(co_await context.engine().containers().copy_in(context.capture(), std::move(path), source, options,
                                                          owner));
  co_return co_await context.empty(200);
}

Outcome export_root(Context& context) {
  CO_TRY(auto record, context.engine().containers().find(context.capture()));
  BodySink sink(context.loop(), context.exchange(), "application/octet-stream");
  co_return co_await sink.run(context.engine().containers().export_root(record->id, sink));
}

constexpr Route routes[] = {
    {"HEAD", "/containers/{id}/archive", head},
    {"GET", "/containers/{id}/archive", get},
    {"PUT", "/containers/{id}/archive", put},
    {"GET", "/containers/{id}/export", export_root},
};

}  // namespace

std::span<const Route> archive_routes() {
  return routes;
}

}  // namespace berth::api
