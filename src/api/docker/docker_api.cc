// From request to handler to answer.
#include "api/docker/docker_api.h"

#include "api/docker/context.h"
#include "api/docker/router.h"
#include "api/docker/system_json.h"
#include "base/format.h"
#include "base/log.h"

namespace berth::api {
namespace {

void set_common_headers(io::Exchange& exchange) {
  exchange.set_header("Api-Version", to_string(newest_version));
  exchange.set_header("Docker-Experimental", "false");
  exchange.set_header("Ostype", "linux");
  exchange.set_header("Server", "Docker/" BERTH_VERSION " (linux)");
}

Result<void> check_version(const VersionedPath& route) {
  if (route.version > newest_version) {
    return failure(Kind::InvalidArgument, "client version {} is too new. Maximum supported API version is {}",
                   to_string(route.version), to_string(newest_version));
  }
  if (route.version < oldest_version) {
    return failure(
        Kind::InvalidArgument,
        "client version {} is too old. Minimum supported API version is {}, please upgrade your client to "
        "a newer version",
        to_string(route.version), to_string(oldest_version));
  }
  return {};
}

io::Task<void> answer_error(io::Exchange& exchange, Error error) {
  if (exchange.begun()) {
    exchange.abort();
    co_return;
  }
  int status = http_status(error);
  // A client that hung up is no failure of the engine.
  bool failed = status == 500 && error.kind() != Kind::Cancelled;
  if (failed) log::error("{} {}: {}", exchange.method(), exchange.path(), error.message());
  std::string body = error_body(error);
  [[maybe_unused]] auto sent = co_await exchange.respond(status, "application/json", body);
}

}  // namespace

io::Task<void> DockerApi::handle(io::Exchange& exchange) {
  set_common_headers(exchange);
  VersionedPath target = split_version(exchange.path());
  if (auto supported = check_version(target); !supported) {
    co_await answer_error(exchange, std::move(supported).error());
    co_return;
  }
  if (exchange.method() == "OPTIONS") {
    [[maybe_unused]] auto sent = co_await exchange.respond(200, "", "");
    co_return;
  }
  RouteMatch match = find_route(exchange.method(), target.path);
  if (match.handler == nullptr) {
    co_await answer_error(exchange, Error(Kind::NotFound, "page not found"));
    co_return;
  }
  Context context(*this, exchange, target.version, std::move(match.captures));
  auto result = co_await match.handler(context);
  if (!result && result.error().kind() != Kind::Cancelled) {
    co_await answer_error(exchange, std::move(result).error());
  } else if (!result && !exchange.begun()) {
    co_await answer_error(exchange, std::move(result).error());
  }
}

}  // namespace berth::api
