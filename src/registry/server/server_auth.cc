// 401 and what follows: Basic, Bearer, and the token endpoint.
#include "base/clock.h"
#include "base/format.h"
#include "base/json.h"
#include "registry/server/server.h"

namespace berth::registry::server {
namespace {

constexpr std::chrono::seconds token_life{300};
constexpr size_t max_scopes = 64;

std::string_view action_of(const io::Exchange& exchange) {
  std::string_view method = exchange.method();
  if (method == "GET" || method == "HEAD") return "pull";
  return method == "DELETE" ? "delete" : "push";
}

/// Uploads are pushed, asked about and cancelled with the same right.
std::string_view action_of(const Route& route, const io::Exchange& exchange) {
  if (route.kind == Route::Kind::Upload || route.kind == Route::Kind::StartUpload) return "push";
  return action_of(exchange);
}

std::string scope_of(const Route& route, const io::Exchange& exchange) {
  if (route.kind == Route::Kind::Catalog) return "registry:catalog:*";
  if (route.name.empty() || !is_repository_name(route.name)) return {};
  std::string_view action = action_of(route, exchange);
  return fmt::format("repository:{}:{}", route.name, action == "push" ? "pull,push" : action);
}

bool is_host(std::string_view host) {
  return !host.empty() && host.size() < 256 &&
         host.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]") ==
             std::string_view::npos;
}

}  // namespace

io::Task<Outcome> Server::authorise(Call& call) {
  if (call.route.kind == Route::Kind::Token) co_return Outcome();  // it asks for itself
  if (settings_.tokens) {
    Outcome allowed = check_token(call);
    co_return allowed;
  }
  if (!settings_.users) co_return Outcome();
  auto credentials = parse_basic(call.exchange.header("Authorization").value_or(""));
  if (credentials) {
    auto verify = [&] { return settings_.users->verify(*credentials); };
    bool right = co_await loop_.on_worker(verify);
    if (right) {
      call.user = credentials->user;
      co_return Outcome();
    }
  }
  call.exchange.set_header("WWW-Authenticate", "Basic realm=\"berth-registry\"");
  co_return Refusal{401, "UNAUTHORIZED", "authentication required"};
}

Outcome Server::check_token(Call& call) const {
  auto text = parse_bearer(call.exchange.header("Authorization").value_or(""));
  if (!text) {
    challenge(call, "");
    return Refusal{401, "UNAUTHORIZED", "authentication required"};
  }
  auto token = settings_.tokens->verify(*text, std::chrono::system_clock::now());
  if (!token) {
    challenge(call, "invalid_token");
    return Refusal{401, "UNAUTHORIZED", token.error().message()};
  }
  call.user = token->subject;
  const Route& route = call.route;
  bool allowed = true;
  if (route.kind == Route::Kind::Catalog) {
    allowed = token->allows("registry", "catalog", "*");
  } else if (!route.name.empty()) {
    allowed = token->allows("repository", route.name, action_of(route, call.exchange));
    auto from = call.exchange.query().get("from");
    // Mounting reads the other repository.
    if (route.kind == Route::Kind::StartUpload && from && call.exchange.query().get("mount")) {
      allowed = allowed && token->allows("repository", *from, "pull");
    }
  }
  if (allowed) return {};
  challenge(call, "insufficient_scope");
  return Refusal{401, "DENIED", "requested access to the resource is denied"};
}

void Server::challenge(Call& call, std::string_view error) const {
  std::string realm = settings_.token_realm;
  if (realm.empty()) {
    std::string_view host = call.exchange.header("Host").value_or("");
    realm = fmt::format("{}://{}/token", settings_.encrypted ? "https" : "http",
                        is_host(host) ? host : "localhost");
  }
  std::string field = fmt::format("Bearer realm=\"{}\",service=\"{}\"", realm, settings_.tokens->service());
  std::string scope = scope_of(call.route, call.exchange);
  if (!scope.empty()) field += fmt::format(",scope=\"{}\"", scope);
  if (!error.empty()) field += fmt::format(",error=\"{}\"", error);
  call.exchange.set_header("WWW-Authenticate", field);
}

/// GET /token?service=&scope=... with the password of a user.
io::Task<Outcome> Server::hand_out_token(Call& call) {
  auto credentials = parse_basic(call.exchange.header("Authorization").value_or(""));
  bool right = false;
  if (credentials) {
    auto verify = [&] { return settings_.users->verify(*credentials); };
    right = co_await loop_.on_worker(verify);
  }
  if (!right) {
    call.exchange.set_header("WWW-Authenticate", "Basic realm=\"berth-registry\"");
    co_return Refusal{401, "UNAUTHORIZED", "authentication required"};
  }
  call.user = credentials->user;
  auto service = call.exchange.query().get("service");
  if (service && *service != settings_.tokens->service()) {
    co_return Refusal{400, "UNSUPPORTED", "tokens of another service are not handed out here"};
  }
  Token token{.subject = credentials->user};
  for (std::string_view list : call.exchange.query().all("scope")) {
    while (!list.empty() && token.access.size() < max_scopes) {
      size_t space = list.find(' ');
      if (auto scope = parse_scope(list.substr(0, space))) token.access.push_back(std::move(*scope));
      list = space == std::string_view::npos ? std::string_view() : list.substr(space + 1);
    }
  }
  std::string text = settings_.tokens->issue(token, std::chrono::system_clock::now(), token_life);
  Json answer = {{"token", text},
                 {"access_token", text},
                 {"expires_in", token_life.count()},
                 {"issued_at", to_rfc3339(now())}};
  std::string body = to_json(answer);
  co_return co_await respond(call, 200, "application/json", body);
}

}  // namespace berth::registry::server
