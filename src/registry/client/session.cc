// Challenges, redirects and waiting.
#include "registry/client/session.h"

#include <charconv>
#include <condition_variable>
#include <mutex>

#include "base/bytes.h"
#include "base/format.h"
#include "registry/client/realm_policy.h"

namespace berth::registry {
namespace {

using namespace std::chrono_literals;

constexpr int most_redirects = 5;
constexpr unsigned most_attempts = 5;
constexpr auto longest_wait = 60s;
constexpr std::string_view client_id = "berth";

bool is_redirect(long status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

HttpOutcome fatal(Error error) {
  return {.trouble = Trouble::Fatal, .error = std::move(error)};
}

std::string go_verb(std::string method) {
  for (size_t i = 1; i < method.size(); ++i) method[i] = static_cast<char>(method[i] | 0x20);
  return method;
}

std::string form_field(std::string form, std::string_view name, std::string_view value) {
  if (!form.empty()) form += '&';
  return form + std::string(name) + "=" + percent_encode(value);
}

}  // namespace

bool sleep_unless_stopped(std::chrono::milliseconds duration, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any changed;
  std::unique_lock lock(mutex);
  changed.wait_for(lock, stop, duration, [] { return false; });
  return !stop.stop_requested();
}

std::optional<std::chrono::seconds> retry_after(const HttpAnswer& answer) {
  std::string_view text = answer.header("retry-after");
  unsigned seconds = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return std::min<std::chrono::seconds>(std::chrono::seconds(seconds), longest_wait);
}

bool is_passing(long status) {
  return status == 429 || status == 500 || status == 502 || status == 503 || status == 504;
}

Session::Session(Surroundings surroundings, Endpoint endpoint, std::string repository,
                 Credentials credentials, Access access, std::stop_token stop)
    : surroundings_(std::move(surroundings)),
      endpoint_(std::move(endpoint)),
      repository_(std::move(repository)),
      credentials_(endpoint_.mirror ? Credentials{} : std::move(credentials)),
      access_(access),
      stop_(std::move(stop)),
      transport_(surroundings_.settings) {}

Result<Url> Session::url_of(const std::string& target) const {
  if (target.starts_with("http://") || target.starts_with("https://")) return Url::parse(target);
  return endpoint_.base.resolve(target);
}

std::vector<std::string> Session::scopes() const {
  if (access_ == Access::None) return {};
  std::vector<std::string> scopes = {
      fmt::format("repository:{}:{}", repository_, access_ == Access::Push ? "pull,push" : "pull")};
  for (const std::string& other : mount_from_) scopes.push_back(fmt::format("repository:{}:pull", other));
  return scopes;
}

std::string Session::token_key() const {
  std::string key = endpoint_.base.str() + "\n" + credentials_.fingerprint();
  for (const std::string& scope : scopes()) key += "\n" + scope;
  return key;
}

std::string Session::authorization() {
  if (!credentials_.registry_token.empty()) return "Authorization: Bearer " + credentials_.registry_token;
  if (!basic_.empty()) return "Authorization: " + basic_;
  if (auto token = surroundings_.tokens->find(token_key())) return "Authorization: Bearer " + *token;
  return {};
}

HttpOutcome Session::follow(HttpRequest request, HttpOutcome outcome) {
  answered_by_registry_ = true;
  bool may_follow = request.method == "GET" || request.method == "HEAD";
  for (int hop = 0; may_follow && outcome.trouble == Trouble::None && is_redirect(outcome.answer.status);
       ++hop) {
    std::string from = request.url.str();
    if (hop == most_redirects) return fatal(failure(Kind::Unavailable, "{}: too many redirects", from));
    auto next = request.url.resolve(outcome.answer.header("location"));
    if (!next) return fatal(std::move(next).error().in("redirect from " + from));
    if (request.url.is_https() && !next->is_https()) {
      return fatal(failure(Kind::Forbidden, "{} redirects from https to {}, which is refused", from,
                           next->str().substr(0, 200)));
    }
    request.url = std::move(*next);
    // Neither credentials nor the reach of a private registry go along to another host.
    bool own = request.url.same_origin(endpoint_.base);
    if (!own) {
      std::erase_if(request.headers,
                    [](const std::string& line) { return line.starts_with("Authorization:"); });
      if (!registry_is_inner_) request.reach = Reach::PublicOnly;
      answered_by_registry_ = false;
    }
    outcome = transport_.perform(request);
  }
  return outcome;
}

HttpOutcome Session::send_once(const Request& request) {
  auto url = url_of(request.target);
  if (!url) return fatal(std::move(url).error());
  HttpRequest wire{.method = request.method,
                   .url = std::move(*url),
                   .headers = request.headers,
                   .body = request.body,
                   .body_size = request.body_size,
                   .sink = request.sink,
                   .on_head = request.on_head,
                   .max_body = request.max_body,
                   .stop = stop_};
  bool own = wire.url.same_origin(endpoint_.base);
  if (own) {
    if (std::string line = authorization(); !line.empty()) wire.headers.push_back(std::move(line));
  } else {
    if (endpoint_.base.is_https() && !wire.url.is_https())
      return fatal(
          failure(Kind::Forbidden, "the registry wants an upload by http instead of https: refused"));
    if (!registry_is_inner_) wire.reach = Reach::PublicOnly;
  }
  HttpOutcome outcome = transport_.perform(wire);
  if (own && outcome.trouble == Trouble::None) {
    registry_is_inner_ = outcome.answer.peer_is_inner;
    registry_is_known_ = true;
  }
  outcome = follow(std::move(wire), std::move(outcome));
  if (!own) answered_by_registry_ = false;
  return outcome;
}

bool Session::wait_before(unsigned attempt, const HttpOutcome& outcome) {
  auto pause = std::chrono::milliseconds(250) * (1u << attempt);
  if (auto asked = retry_after(outcome.answer)) pause = std::max<std::chrono::milliseconds>(*asked, 100ms);
  return sleep_unless_stopped(pause, stop_);
}

HttpOutcome Session::send(const Request& request) {
  bool authenticated = false;
  for (unsigned attempt = 0;; ++attempt) {
    HttpOutcome outcome = send_once(request);
    bool unauthorized =
        outcome.trouble == Trouble::None && outcome.answer.status == 401 && answered_by_registry_;
    if (unauthorized && !authenticated) {
      authenticated = true;
      auto worth_trying = authenticate(outcome.answer);
      if (!worth_trying) {
        auto url = url_of(request.target);
        Error error = std::move(worth_trying).error();
        // docker tells of a push what the token server said, and nothing of the request.
        if (access_ == Access::Push)
          return {.answer = std::move(outcome.answer), .trouble = Trouble::Fatal, .error = std::move(error)};
        return {
            .answer = std::move(outcome.answer),
            .trouble = Trouble::Fatal,
            .error = Error(error.kind(), fmt::format("{} \"{}\": {}", go_verb(request.method),
                                                     url ? url->str() : request.target, error.message()))};
      }
      // A body that has been read cannot be sent again: uploads begin with a request that has none.
      if (*worth_trying && request.body == nullptr) continue;
      return outcome;
    }
    bool passes = outcome.trouble == Trouble::Broken ||
                  (outcome.trouble == Trouble::None && is_passing(outcome.answer.status));
    bool again =
        request.retry == Retry::Yes && request.body == nullptr && passes && attempt + 1 < most_attempts;
    if (!again || !wait_before(attempt, outcome)) return outcome;
  }
}

HttpOutcome Session::send_foreign(const Request& request, const Url& url) {
  // Whether a private address may be meant depends on where the registry itself is.
  if (!registry_is_known_) (void)send_once({.target = "v2/"});
  HttpRequest wire{.method = request.method,
                   .url = url,
                   .headers = request.headers,
                   .sink = request.sink,
                   .on_head = request.on_head,
                   .max_body = request.max_body,
                   .reach = registry_is_inner_ ? Reach::Anywhere : Reach::PublicOnly,
                   .stop = stop_};
  HttpOutcome outcome = transport_.perform(wire);
  return follow(std::move(wire), std::move(outcome));
}

Result<bool> Session::authenticate(const HttpAnswer& answer) {
  std::vector<Challenge> challenges = parse_challenges(answer.header_list("www-authenticate"));
  for (const Challenge& challenge : challenges) {
    if (challenge.scheme != "bearer") continue;
    challenged_by_ = "bearer";
    if (!credentials_.registry_token.empty()) return false;
    CHECK(fetch_token(challenge));
    return true;
  }
  for (const Challenge& challenge : challenges) {
    if (challenge.scheme != "basic") continue;
    challenged_by_ = "basic";
    if (credentials_.user.empty() && credentials_.secret.empty())
      return Error(Kind::Unauthenticated, "no basic auth credentials");
    if (!basic_.empty()) return false;
    basic_ = "Basic " + to_base64(credentials_.user + ":" + credentials_.secret);
    return true;
  }
  return false;
}

Result<void> Session::fetch_token(const Challenge& challenge) {
  auto realm = Url::parse(challenge.parameter("realm"));
  if (!realm) return std::move(realm).error().in("the registry's token server");
  RealmTrust trust = judge_realm(*surroundings_.settings, endpoint_.base, *realm);
  if (trust == RealmTrust::Refused) {
    return failure(Kind::Forbidden,
                   "the registry names the token server {}, which is not reached by https: refused",
                   realm->str().substr(0, 200));
  }
  bool have = !credentials_.empty();
  bool with_credentials = have && trust == RealmTrust::Credentials;
  withheld_from_ = have && !with_credentials ? realm->authority() : "";
  TRY(HttpAnswer answer, ask_token_server(*realm, challenge, with_credentials));
  if (answer.status != 200) {
    RegistryError error =
        parse_registry_error(answer.status, answer.body, answer.header_list("www-authenticate"));
    if (answer.status == 401 && with_credentials && error.message == "authentication required")
      error.message = "incorrect username or password";
    std::string words = error.str();
    if (!withheld_from_.empty()) {
      words += fmt::format(
          "; the credentials were not sent to {}, since it is another host than the registry: if it is the "
          "registry's token server, start berthd with --registry-token-server {}",
          withheld_from_, withheld_from_);
    }
    bool denied = answer.status == 401 || answer.status == 403 || answer.status == 400;
    return Error(denied ? Kind::Unauthenticated : Kind::Unavailable, words);
  }
  auto token = parse_token(answer.body);
  if (!token) return std::move(token).error().in("token server", realm->authority());
  if (with_credentials) refresh_token_ = token->refresh_token;
  surroundings_.tokens->put(token_key(), *token);
  return {};
}

Result<HttpAnswer> Session::ask_token_server(const Url& realm, const Challenge& challenge,
                                             bool with_credentials) {
  HttpRequest request{.url = realm, .stop = stop_};
  const std::string& service = challenge.parameter("service");
  bool inner = registry_is_inner_ || realm.same_origin(endpoint_.base);
  request.reach = inner ? Reach::Anywhere : Reach::PublicOnly;
  std::string form;
  if (with_credentials && !credentials_.identity_token.empty()) {
    form = form_field(form, "grant_type", "refresh_token");
    form = form_field(form, "service", service);
    form = form_field(form, "client_id", client_id);
    std::string scope;
    for (const std::string& one : scopes()) scope += (scope.empty() ? "" : " ") + one;
    if (!scope.empty()) form = form_field(form, "scope", scope);
    form = form_field(form, "refresh_token", credentials_.identity_token);
    request.method = "POST";
    request.headers = {"Content-Type: application/x-www-form-urlencoded", "Accept: application/json"};
  } else {
    std::string& target = request.url.target;
    if (!service.empty()) target = with_query(target, "service", service);
    for (const std::string& scope : scopes()) target = with_query(target, "scope", scope);
    if (offline_) target = with_query(with_query(target, "offline_token", "true"), "client_id", client_id);
    if (with_credentials) {
      target = with_query(target, "account", credentials_.user);
      request.headers.push_back("Authorization: Basic " +
                                to_base64(credentials_.user + ":" + credentials_.secret));
    }
  }
  for (unsigned attempt = 0;; ++attempt) {
    storage::StringSource body(form);
    if (!form.empty()) {
      request.body = &body;
      request.body_size = form.size();
    }
    HttpOutcome outcome = transport_.perform(request);
    bool passes = outcome.trouble == Trouble::Broken ||
                  (outcome.trouble == Trouble::None && is_passing(outcome.answer.status));
    if (passes && attempt + 1 < most_attempts && wait_before(attempt, outcome)) continue;
    if (outcome.error) return std::move(*outcome.error);
    return std::move(outcome.answer);
  }
}

}  // namespace berth::registry
