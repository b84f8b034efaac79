// From request to handler to answer.
#include "api/docker/docker_api.h"

#include "api/docker/audit_log.h"
#include "api/docker/authorization.h"
#include "api/docker/context.h"
#include "api/docker/metrics.h"
#include "api/docker/observed_exchange.h"
#include "api/docker/router.h"
#include "api/docker/system_json.h"
#include "base/format.h"
#include "base/log.h"

namespace berth::api {
namespace {

void set_common_headers(io::Exchange& exchange) {
  exchange.set_header("Api-Version", to_string(newest_version));
  exchange.set_header("Docker-Experimental", "true");
  exchange.set_header("Ostype", "linux");
  exchange.set_header("Server", fmt::format("Docker/{} (linux)", engine_version));
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

/// A client of before the oldest version expects words, not JSON: what it prints is then to be read.
io::Task<void> answer_too_old(io::Exchange& exchange, Error error) {
  std::string body = error.message() + "\n";
  [[maybe_unused]] auto sent =
      co_await exchange.respond(http_status(error), "text/plain; charset=utf-8", body);
}

}  // namespace

DockerApi::DockerApi(io::EventLoop& loop, engine::Engine& engine, build::Builder& builder)
    : loop_(loop), engine_(engine), builder_(builder), metrics_(std::make_unique<Metrics>()) {}
DockerApi::~DockerApi() = default;

void DockerApi::set_audit_log(std::unique_ptr<AuditLog> log) {
  audit_log_ = std::move(log);
}
void DockerApi::set_authorizer(std::unique_ptr<Authorizer> authorizer) {
  authorizer_ = std::move(authorizer);
}

io::Task<void> DockerApi::handle(io::Exchange& exchange) {
  Timestamp began = now();
  ObservedExchange observed(exchange);
  set_common_headers(observed);
  Result<void> allowed;
  if (authorizer_) {
    Authorizer* authorizer = authorizer_.get();
    allowed = co_await authorizer->check_request(observed);
    observed.set_gate([authorizer, &observed](ObservedExchange::Answer answer) {
      return authorizer->check_answer(observed, answer);
    });
  }
  bool is_neighbours = neighbour_.handle && neighbour_.serves(exchange.path());
  if (allowed && is_neighbours) {
    co_await neighbour_.handle(observed);
  } else if (allowed) {
    co_await answer(observed);
  } else {
    observed.set_gate(nullptr);
    co_await answer_error(observed, std::move(allowed).error());
  }
  metrics_->count(exchange.method(), observed.status());
  if (audit_log_) audit_log_->record(exchange, observed.status(), began);
}

io::Task<void> DockerApi::handle_metrics(io::Exchange& exchange) {
  bool asks = exchange.method() == "GET" && exchange.path() == "/metrics";
  if (!asks) {
    co_await answer_error(exchange, Error(Kind::NotFound, "page not found: only GET /metrics is here"));
    co_return;
  }
  std::string text = co_await metrics_->text(engine_);
  [[maybe_unused]] auto sent =
      co_await exchange.respond(200, "text/plain; version=0.0.4; charset=utf-8", text);
}

io::Task<void> DockerApi::answer(ObservedExchange& exchange) {
  VersionedPath target = split_version(exchange.path());
  if (auto supported = check_version(target); !supported) {
    if (target.version < oldest_version) {
      co_await answer_too_old(exchange, std::move(supported).error());
    } else {
      co_await answer_error(exchange, std::move(supported).error());
    }
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
