// From request to handler to answer, and the access log.
#include "registry/server/server.h"

#include "base/clock.h"
#include "base/format.h"
#include "base/json.h"
#include "base/log.h"
#include "registry/client/url.h"

namespace berth::registry::server {
namespace {

Refusal refusal_of(const Error& error) {
  switch (error.kind()) {
    case Kind::InvalidArgument:
      return {400, "UNSUPPORTED", error.message()};
    case Kind::NotFound:
      return {404, "NAME_UNKNOWN", error.message()};
    case Kind::Unauthenticated:
      return {401, "UNAUTHORIZED", error.message()};
    case Kind::Exhausted:
      return {error.errno_value() == 0 ? 429 : 507, "TOOMANYREQUESTS", error.message()};
    case Kind::WrongState:
      return {409, "BLOB_UPLOAD_INVALID", error.message()};
    case Kind::Cancelled:
      return {0, "", error.message()};
    case Kind::DeadlineExceeded:
      return {408, "BLOB_UPLOAD_INVALID", error.message()};
    case Kind::Unavailable:
      return {502, "UNAVAILABLE", error.message()};
    default:
      return {500, "UNKNOWN", error.message()};
  }
}

std::string error_body(const Refusal& refusal) {
  Json entry = {{"code", refusal.code}, {"message", refusal.message}};
  return to_json(Json{{"errors", Json::array({std::move(entry)})}});
}

bool has_name(Route::Kind kind) {
  return kind != Route::Kind::Root && kind != Route::Kind::Catalog && kind != Route::Kind::Token &&
         kind != Route::Kind::Unknown;
}

std::string plain(std::string_view text) {
  std::string result(text.substr(0, 300));
  for (char& c : result) {
    if (static_cast<unsigned char>(c) < 0x20 || c == '"' || c == '\x7f') c = '?';
  }
  return result;
}

}  // namespace

Outcome::Outcome(const Error& error) : std::expected<void, Refusal>(std::unexpect, refusal_of(error)) {}

std::string next_link(std::string_view path, std::string_view query, std::string_view last) {
  return fmt::format("<{}?{}last={}>; rel=\"next\"", path, query, percent_encode(last));
}

/// The handler of method and route. Null: `refusal` says why.
Server::Handler Server::find_handler(const Call& call, Outcome& refusal) const {
  using Kind = Route::Kind;
  struct Row {
    Kind kind;
    std::string_view method;
    Handler handler;
    bool writes = false;
    bool deletes = false;
  };
  static constexpr Row table[] = {
      {Kind::Root, "GET", &Server::root},
      {Kind::Token, "GET", &Server::hand_out_token},
      {Kind::Catalog, "GET", &Server::list_repositories},
      {Kind::Tags, "GET", &Server::list_tags},
      {Kind::Referrers, "GET", &Server::list_referrers},
      {Kind::Manifest, "GET", &Server::get_manifest},
      {Kind::Manifest, "PUT", &Server::put_manifest, true},
      {Kind::Manifest, "DELETE", &Server::delete_manifest, true, true},
      {Kind::Blob, "GET", &Server::get_blob},
      {Kind::Blob, "DELETE", &Server::delete_blob, true, true},
      {Kind::StartUpload, "POST", &Server::start_upload, true},
      {Kind::Upload, "GET", &Server::get_upload, true},
      {Kind::Upload, "PATCH", &Server::patch_upload, true},
      {Kind::Upload, "PUT", &Server::put_upload, true},
      {Kind::Upload, "DELETE", &Server::cancel_upload, true},
  };
  const Route& route = call.route;
  bool known = route.kind != Kind::Unknown && (route.kind != Kind::Token || settings_.token_endpoint);
  if (!known) {
    refusal = Refusal{404, "UNSUPPORTED", "page not found"};
    return nullptr;
  }
  if (has_name(route.kind) && !is_repository_name(route.name)) {
    refusal = Refusal{400, "NAME_INVALID", "invalid repository name"};
    return nullptr;
  }
  std::string_view method = call.exchange.method() == "HEAD" ? "GET" : call.exchange.method();
  for (const Row& row : table) {
    if (row.kind != route.kind || row.method != method) continue;
    bool refused = (row.writes && settings_.writing == ServerSettings::Writing::Refused) ||
                   (row.deletes && settings_.deletion == ServerSettings::Deletion::Refused);
    if (!refused) return row.handler;
    refusal = Refusal{405, "UNSUPPORTED",
                      row.deletes && settings_.writing == ServerSettings::Writing::Allowed
                          ? "deletion is disabled on this registry"
                          : "this registry is read-only"};
    return nullptr;
  }
  refusal = Refusal{405, "UNSUPPORTED", "the method is not supported here"};
  return nullptr;
}

io::Task<void> Server::handle(io::Exchange& exchange) {
  Call call{exchange, parse_route(exchange.path())};
  exchange.set_header("Docker-Distribution-Api-Version", "registry/2.0");
  exchange.set_header("X-Content-Type-Options", "nosniff");
  co_await answer(call);
  log_access(call);
}

io::Task<void> Server::answer(Call& call) {
  Outcome refusal;
  Outcome allowed = co_await authorise(call);
  if (!allowed) {
    co_await answer_refusal(call, std::move(allowed).error());
    co_return;
  }
  Handler handler = find_handler(call, refusal);
  if (handler == nullptr) {
    co_await answer_refusal(call, std::move(refusal).error());
    co_return;
  }
  Outcome done = co_await (this->*handler)(call);
  if (!done) co_await answer_refusal(call, std::move(done).error());
}

io::Task<void> Server::answer_refusal(Call& call, Refusal refusal) {
  if (call.exchange.begun() || refusal.status == 0) {
    call.exchange.abort();
    if (call.status == 0) call.status = 499;  // the client went away
    co_return;
  }
  if (refusal.status >= 500) {
    log::error("registry: {} {}: {}", call.exchange.method(), plain(call.exchange.path()), refusal.message);
  }
  std::string body = error_body(refusal);
  [[maybe_unused]] Outcome sent = co_await respond(call, refusal.status, "application/json", body);
}

io::Task<Outcome> Server::respond(Call& call, int status, std::string_view type, std::string_view body) {
  call.status = status;
  call.sent = call.exchange.method() == "HEAD" ? 0 : body.size();
  CO_CHECK(co_await call.exchange.respond(status, type, body));
  co_return Outcome();
}

void Server::log_access(const Call& call) const {
  if (!settings_.access_log) return;
  std::string agent = plain(call.exchange.header("User-Agent").value_or("-"));
  settings_.access_log(fmt::format("{} {} \"{} {}\" {} {} \"{}\"", to_rfc3339(now()),
                                   call.user.empty() ? "-" : plain(call.user), plain(call.exchange.method()),
                                   plain(call.exchange.request().target), call.status, call.sent, agent));
}

io::Task<Outcome> Server::root(Call& call) {
  co_return co_await respond(call, 200, "application/json", "{}");
}

}  // namespace berth::registry::server
