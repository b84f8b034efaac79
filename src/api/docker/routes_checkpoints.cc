// /containers/{id}/checkpoints: make, list and remove. A start from one is in routes_containers.cc.
#include "api/docker/router.h"
#include "base/json.h"
#include "engine/checkpoints.h"

namespace berth::api {
namespace {

using Outcome = io::Task<Result<void>>;

Outcome create(Context& context) {
  CO_TRY(std::string text, co_await context.json_body());
  CO_TRY(Json body, parse_json(text.empty() ? std::string_view("{}") : std::string_view(text)));
  engine::NewCheckpoint request;
  CO_TRY(request.name, json_string(body, "CheckpointID"));
  CO_TRY(request.directory, json_string(body, "CheckpointDir"));
  CO_TRY(request.ends, json_bool(body, "Exit"));
  engine::Checkpoints checkpoints(context.engine());
  CO_CHECK(co_await checkpoints.create(context.capture(), std::move(request)));
  co_return co_await context.empty(201);
}

Outcome list(Context& context) {
  engine::Checkpoints checkpoints(context.engine());
  CO_TRY(auto names, co_await checkpoints.list(context.capture(), context.text("dir")));
  Json answer = Json::array();
  for (const std::string& name : names) answer.push_back({{"Name", name}});
  co_return co_await context.json(200, std::move(answer));
}

Outcome remove(Context& context) {
  engine::Checkpoints checkpoints(context.engine());
  CO_CHECK(co_await checkpoints.remove(context.capture(), context.capture(1), context.text("dir")));
  co_return co_await context.empty(204);
}

constexpr Route routes[] = {
    {"GET", "/containers/{id}/checkpoints", list},
    {"POST", "/containers/{id}/checkpoints", create},
    {"DELETE", "/containers/{id}/checkpoints/{checkpoint}", remove},
};

}  // namespace

std::span<const Route> checkpoint_routes() {
  return routes;
}

}  // namespace berth::api
