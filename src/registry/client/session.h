// Session: a conversation with one address of a registry about one repository: it answers challenges, follows
// redirects, waits when it is told to, and lets credentials go nowhere else. Blocking; one thread at a time.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "base/result.h"
#include "registry/client/credentials.h"
#include "registry/client/settings.h"
#include "registry/client/token_cache.h"
#include "registry/client/transport.h"

namespace berth::registry {

/// What all conversations of one engine share.
struct Surroundings {
  std::shared_ptr<const Settings> settings;
  std::shared_ptr<TokenCache> tokens;
};

enum class Access { Pull, Push, None };

/// Whether a request may be sent again when the line breaks or the server asks to wait.
enum class Retry { No, Yes };

class Session {
 public:
  Session(Surroundings surroundings, Endpoint endpoint, std::string repository, Credentials credentials,
          Access access, std::stop_token stop);

  /// `target` is relative to the endpoint ("v2/library/x/tags/list") or a whole URL that the registry gave.
  struct Request {
    std::string method = "GET";
    std::string target;
    std::vector<std::string> headers = {};
    storage::ByteSource* body = nullptr;
    uint64_t body_size = 0;
    storage::ByteSink* sink = nullptr;
    std::function<Result<void>(const HttpAnswer&)> on_head = {};
    size_t max_body = size_t{1} << 20;
    Retry retry = Retry::Yes;
  };
  /// Whatever the status: an answer. No answer, or no way to authenticate: trouble and error.
  HttpOutcome send(const Request& request);
  /// The same from an address that is not the registry's (a foreign layer): without credentials.
  HttpOutcome send_foreign(const Request& request, const Url& url);

  /// The access of another repository too, for a mount.
  void also_from(const std::string& repository) { mount_from_.insert(repository); }
  /// What the token server gave for keeping (login).
  const std::string& refresh_token() const { return refresh_token_; }
  /// The token server that was not given the credentials, when that may be why something is denied.
  const std::string& withheld_from() const { return withheld_from_; }
  const Endpoint& endpoint() const { return endpoint_; }
  const std::string& repository() const { return repository_; }
  const std::stop_token& stop_token() const { return stop_; }
  /// Bearer or Basic was asked for.
  const std::string& challenged_by() const { return challenged_by_; }
  /// login asks for a token that can be kept.
  void keep_token() { offline_ = true; }

 private:
  HttpOutcome send_once(const Request& request);
  HttpOutcome follow(HttpRequest request, HttpOutcome outcome);
  Result<Url> url_of(const std::string& target) const;
  std::string authorization();
  std::vector<std::string> scopes() const;
  std::string token_key() const;
  /// True when there is something new to try.
  Result<bool> authenticate(const HttpAnswer& answer);
  Result<void> fetch_token(const Challenge& challenge);
  Result<HttpAnswer> ask_token_server(const Url& realm, const Challenge& challenge, bool with_credentials);
  bool wait_before(unsigned attempt, const HttpOutcome& outcome);

  Surroundings surroundings_;
  Endpoint endpoint_;
  std::string repository_;
  Credentials credentials_;
  Access access_;
  std::stop_token stop_;
  Transport transport_;
  std::set<std::string> mount_from_;
  std::string basic_;  ///< header value, once the registry has asked for it
  std::string refresh_token_;
  std::string withheld_from_;
  std::string challenged_by_;
  bool registry_is_inner_ = false;
  bool registry_is_known_ = false;    ///< it has answered, so that registry_is_inner_ means something
  bool answered_by_registry_ = true;  ///< the last answer, and not by a host it redirected to
  bool offline_ = false;
};

/// Sleeps; false when stopped first.
bool sleep_unless_stopped(std::chrono::milliseconds duration, const std::stop_token& stop);
/// Seconds of a Retry-After, bounded; none when missing or a date.
std::optional<std::chrono::seconds> retry_after(const HttpAnswer& answer);
/// 429 and those 5xx that pass.
bool is_passing(long status);

}  // namespace berth::registry
