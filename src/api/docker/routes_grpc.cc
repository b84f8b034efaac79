// /grpc and /session: connections that become HTTP/2, for clients that build as BuildKit's do.
#include "api/docker/buildkit_gate.h"
#include "api/docker/router.h"
#include "base/format.h"
#include "base/json.h"

namespace berth::api {
namespace {

using Outcome = io::Task<Result<void>>;

constexpr size_t max_methods = 64;
constexpr size_t max_field_bytes = 1024;

Result<BuildkitGate*> ready_gate(Context& context) {
  BuildkitGate* gate = context.buildkit();
  // As engines without BuildKit answer: clients then turn to the classic builder, or say what is missing.
  if (gate == nullptr) return Error(Kind::NotFound, "page not found");
  auto upgrade = context.exchange().header("Upgrade");
  if (!upgrade)
    return Error(Kind::InvalidArgument, "no upgrade header: this route speaks HTTP/2 (h2c) alone");
  if (!context.exchange().wants_upgrade() || *upgrade != "h2c")
    return failure(Kind::InvalidArgument, "upgrade to {} is not supported: this route speaks h2c",
                   upgrade->substr(0, 64));
  CHECK(gate->prepare());
  return gate;
}

Outcome hand_over(Context& context, BuildkitGate& gate, std::string introduction) {
  CO_TRY(auto connection, co_await context.exchange().hijack("application/grpc"));
  co_return gate.hand_over(introduction, std::move(connection));
}

Outcome grpc(Context& context) {
  CO_TRY(BuildkitGate * gate, ready_gate(context));
  std::string introduction = to_json({{"kind", "grpc"}});
  io::Task<Result<void>> handing = hand_over(context, *gate, std::move(introduction));
  co_return co_await std::move(handing);
}

Outcome session(Context& context) {
  auto field = [&context](std::string_view name) {
    return std::string(context.exchange().header(name).value_or("").substr(0, max_field_bytes));
  };
  std::string id = field("X-Docker-Expose-Session-Uuid");
  CO_TRY(BuildkitGate * gate, ready_gate(context));
  if (id.empty())
    co_return Error(Kind::InvalidArgument, "a session needs the header X-Docker-Expose-Session-Uuid");
  Json methods = Json::array();
  for (std::string_view method :
       context.exchange().request().headers.all("X-Docker-Expose-Session-Grpc-Method")) {
    if (methods.size() < max_methods) methods.push_back(method.substr(0, max_field_bytes));
  }
  std::string introduction = to_json({{"kind", "session"},
                                      {"id", std::move(id)},
                                      {"name", field("X-Docker-Expose-Session-Name")},
                                      {"shared_key", field("X-Docker-Expose-Session-Sharedkey")},
                                      {"methods", std::move(methods)}});
  io::Task<Result<void>> handing = hand_over(context, *gate, std::move(introduction));
  co_return co_await std::move(handing);
}

constexpr Route routes[] = {{"POST", "/grpc", grpc}, {"POST", "/session", session}};

}  // namespace

std::span<const Route> grpc_routes() {
  return routes;
}

}  // namespace berth::api
