// /networks
#include "api/docker/object_json.h"
#include "api/docker/router.h"
#include "base/json.h"

namespace berth::api {
namespace {

using Outcome = io::Task<Result<void>>;

Outcome list(Context& context) {
  CO_TRY(auto filters, context.filters());
  CO_TRY(auto networks, context.engine().networks().list(filters));
  Json answer = Json::array();
  for (const network::NetworkRecord& network : networks) answer.push_back(network_json(network, {}));
  co_return co_await context.json(200, std::move(answer));
}

Outcome inspect(Context& context) {
  CO_TRY(auto network, context.engine().networks().find(context.capture()));
  Json answer = network_json(network, context.engine().networks().endpoints(network.id));
  co_return co_await context.json(200, std::move(answer));
}

Outcome create(Context& context) {
  CO_TRY(std::string body, co_await context.json_body());
  CO_TRY(auto request, parse_network_request(body.empty() ? "{}" : body));
  if (!context.since(1, 48)) request.enable_ipv4.reset();  // not a member that older clients know
  CO_TRY(auto network, co_await context.engine().networks().create(std::move(request)));
  Json answer = {{"Id", network.id}, {"Warning", ""}};
  co_return co_await context.json(201, std::move(answer));
}

Outcome remove(Context& context) {
  CO_CHECK(co_await context.engine().networks().remove(context.capture()));
  co_return co_await context.empty(204);
}

struct Connection {
  std::string container;
  spec::EndpointSettings settings;
  bool force = false;
};

Result<Connection> parse_connection(std::string_view body) {
  Connection connection;
  TRY(Json object, parse_json(body.empty() ? "{}" : body));
  if (!object.is_object()) return Error(Kind::InvalidArgument, "invalid JSON: the request must be an object");
  TRY(connection.container, json_string(object, "Container"));
  if (connection.container.empty()) return Error(Kind::InvalidArgument, "bad parameter: Container is needed");
  TRY(connection.force, json_bool(object, "Force"));
  const Json* settings = json_member(object, "EndpointConfig");
  if (settings != nullptr && settings->is_object()) {
    TRY(connection.settings, spec::parse_endpoint_settings(*settings));
  }
  return connection;
}

Outcome connect(Context& context) {
  CO_TRY(std::string body, co_await context.json_body());
  CO_TRY(Connection connection, parse_connection(body));
  CO_CHECK(co_await context.engine().networks().connect(context.capture(), std::move(connection.container),
                                                        std::move(connection.settings)));
  co_return co_await context.empty(200);
}

Outcome disconnect(Context& context) {
  CO_TRY(std::string body, co_await context.json_body());
  CO_TRY(Connection connection, parse_connection(body));
  auto force = connection.force ? engine::Force::Yes : engine::Force::No;
  CO_CHECK(co_await context.engine().networks().disconnect(context.capture(), std::move(connection.container),
                                                           force));
  co_return co_await context.empty(200);
}

Outcome prune(Context& context) {
  CO_TRY(auto filters, context.filters());
  CO_TRY(auto names, co_await context.engine().networks().prune(std::move(filters)));
  Json list = Json(nullptr);
  for (const std::string& name : names) list.push_back(name);
  Json answer = {{"NetworksDeleted", std::move(list)}};
  co_return co_await context.json(200, std::move(answer));
}

constexpr Route routes[] = {
    {"GET", "/networks", list},
    {"POST", "/networks/create", create},
    {"POST", "/networks/prune", prune},
    {"GET", "/networks/{id}", inspect},
    {"DELETE", "/networks/{id}", remove},
    {"POST", "/networks/{id}/connect", connect},
    {"POST", "/networks/{id}/disconnect", disconnect},
};

}  // namespace

std::span<const Route> network_routes() {
  return routes;
}

}  // namespace berth::api
