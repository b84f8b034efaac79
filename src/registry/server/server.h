// Server: the OCI distribution specification 1.1 over a Store, for one listening address. Give handle() to an
// io::HttpServer. Names, tags and digests are checked before anything is looked up; bodies are bounded.
#pragma once

#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <string_view>

#include "base/result.h"
#include "io/event_loop.h"
#include "io/http_server.h"
#include "io/sync.h"
#include "io/task.h"
#include "registry/server/auth.h"
#include "registry/server/names.h"
#include "registry/server/route.h"
#include "registry/server/store.h"
#include "registry/server/upstream_threads.h"

namespace berth::registry::server {

/// Where a pull-through cache gets what it lacks. Blocking, from any thread.
class Upstream {
 public:
  virtual ~Upstream() = default;
  struct Document {
    std::string body;
    std::string media_type;
  };
  /// NotFound when the other registry has none.
  virtual Result<Document> manifest(const std::string& repository, const std::string& reference,
                                    std::stop_token stop) = 0;
  /// The digest that a tag has there now; empty when it does not say.
  virtual Result<std::string> resolve(const std::string& repository, const std::string& tag,
                                      std::stop_token stop) = 0;
  virtual Result<void> blob(const std::string& repository, const ContentDigest& digest,
                            const std::function<Result<void>(std::string_view)>& sink,
                            std::stop_token stop) = 0;
};

struct ServerSettings {
  enum class Deletion { Allowed, Refused };
  enum class Writing { Allowed, Refused };
  Deletion deletion = Deletion::Allowed;
  Writing writing = Writing::Allowed;
  std::optional<uint64_t> quota = {};          ///< bytes of one repository
  std::optional<uint64_t> max_blob_size = {};  ///< bytes
  std::shared_ptr<Htpasswd> users = {};
  std::shared_ptr<TokenAuthority> tokens = {};
  std::string token_realm = {};  ///< URL of the server that hands out tokens
  bool token_endpoint = false;   ///< this server hands them out itself, to `users`
  bool encrypted = false;        ///< it is reached by https
  std::shared_ptr<Upstream> upstream = {};
  std::function<void(std::string line)> access_log = {};
};

/// Why a request is refused, in the specification's words.
struct Refusal {
  int status;
  std::string code;  ///< "BLOB_UNKNOWN"
  std::string message;
};
/// Nothing, or a Refusal. Errors of the lower floors convert to one.
class [[nodiscard]] Outcome : public std::expected<void, Refusal> {
 public:
  Outcome() = default;
  Outcome(Refusal refusal) : std::expected<void, Refusal>(std::unexpect, std::move(refusal)) {}  // NOLINT
  Outcome(const Error& error);                                                                   // NOLINT
};

class Server {
 public:
  /// Loop and store must outlive it, and it every exchange.
  Server(io::EventLoop& loop, Store& store, ServerSettings settings)
      : loop_(loop), store_(store), settings_(std::move(settings)), upstream_threads_(loop) {}
  Server(const Server&) = delete;

  io::Task<void> handle(io::Exchange& exchange);

 private:
  /// One request and what is noted of its answer.
  struct Call {
    io::Exchange& exchange;
    Route route;
    std::string user = {};
    int status = 0;
    uint64_t sent = 0;
  };
  using Handler = io::Task<Outcome> (Server::*)(Call&);

  Handler find_handler(const Call& call, Outcome& refusal) const;
  io::Task<void> answer(Call& call);
  io::Task<void> answer_refusal(Call& call, Refusal refusal);
  io::Task<Outcome> respond(Call& call, int status, std::string_view type, std::string_view body);
  void log_access(const Call& call) const;

  // server_auth.cc
  io::Task<Outcome> authorise(Call& call);
  Outcome check_token(Call& call) const;
  void challenge(Call& call, std::string_view error) const;
  io::Task<Outcome> hand_out_token(Call& call);

  // server_blobs.cc
  io::Task<Outcome> get_blob(Call& call);
  io::Task<Outcome> delete_blob(Call& call);
  io::Task<Outcome> start_upload(Call& call);
  io::Task<Outcome> get_upload(Call& call);
  io::Task<Outcome> patch_upload(Call& call);
  io::Task<Outcome> put_upload(Call& call);
  io::Task<Outcome> cancel_upload(Call& call);
  io::Task<Outcome> mount(Call& call, ContentDigest digest, std::string from, bool& mounted);
  io::Task<Outcome> receive(Call& call, Upload& upload);
  io::Task<Outcome> finish(Call& call, std::unique_ptr<Upload> upload, ContentDigest digest);
  io::Task<Outcome> send_file(Call& call, sys::UniqueFd file, uint64_t first, uint64_t length);
  io::Task<Outcome> fetch_blob(const std::string& repository, const ContentDigest& digest);

  // server_manifests.cc
  io::Task<Outcome> root(Call& call);
  io::Task<Outcome> get_manifest(Call& call);
  io::Task<Outcome> put_manifest(Call& call);
  io::Task<Outcome> delete_manifest(Call& call);
  io::Task<Outcome> list_tags(Call& call);
  io::Task<Outcome> list_repositories(Call& call);
  io::Task<Outcome> list_referrers(Call& call);
  io::Task<Outcome> fetch_manifest(const std::string& repository, const std::string& reference);

  io::EventLoop& loop_;
  Store& store_;
  ServerSettings settings_;
  std::set<std::string> fetching_;  ///< what is under way from upstream
  io::Condition fetched_;
  UpstreamThreads upstream_threads_;
};

/// The Link header that names the next page.
std::string next_link(std::string_view path, std::string_view query, std::string_view last);

}  // namespace berth::registry::server
