// Requests to the other registry.
#include "registry/server/upstream.h"

#include "base/format.h"
#include "registry/client/repository.h"
#include "registry/client/session.h"
#include "registry/client/settings.h"
#include "registry/client/token_cache.h"

namespace berth::registry::server {
namespace {

class FunctionSink : public storage::ByteSink {
 public:
  explicit FunctionSink(const std::function<Result<void>(std::string_view)>& write) : write_(write) {}
  Result<void> write(std::string_view bytes) override { return write_(bytes); }

 private:
  const std::function<Result<void>(std::string_view)>& write_;
};

class OtherRegistry : public Upstream {
 public:
  OtherRegistry(Surroundings surroundings, Url url, registry::Credentials credentials)
      : surroundings_(std::move(surroundings)),
        endpoint_{.base = std::move(url)},
        credentials_(std::move(credentials)) {}

  Result<Document> manifest(const std::string& repository, const std::string& reference,
                            std::stop_token stop) override {
    Repository asked = open(repository, std::move(stop));
    // SHA-512 is verified by the caller.
    std::optional<Digest> expected;
    if (auto digest = Digest::parse(reference)) expected = *digest;
    auto fetched = asked.get_manifest(reference, expected);
    if (!fetched) return failed(asked, std::move(fetched).error());
    return Document{std::move(fetched->bytes), std::move(fetched->media_type)};
  }

  Result<std::string> resolve(const std::string& repository, const std::string& tag,
                              std::stop_token stop) override {
    Repository asked = open(repository, std::move(stop));
    auto head = asked.head_manifest(tag);
    if (!head) return failed(asked, std::move(head).error());
    return head->digest ? head->digest->str() : std::string();
  }

  Result<void> blob(const std::string& repository, const ContentDigest& digest,
                    const std::function<Result<void>(std::string_view)>& write,
                    std::stop_token stop) override {
    Session session(surroundings_, endpoint_, repository, credentials_, Access::Pull, std::move(stop));
    FunctionSink sink(write);
    // Not again: what was written already cannot be taken back.
    HttpOutcome outcome = session.send({.target = fmt::format("v2/{}/blobs/{}", repository, digest.str()),
                                        .sink = &sink,
                                        .retry = Retry::No});
    if (outcome.error) return unavailable(std::move(*outcome.error));
    if (outcome.answer.status == 200) return {};
    return refused(outcome.answer.status, digest.str());
  }

 private:
  Repository open(const std::string& repository, std::stop_token stop) const {
    return Repository(
        Session(surroundings_, endpoint_, repository, credentials_, Access::Pull, std::move(stop)));
  }
  static Error unavailable(Error error) {
    if (error.kind() == Kind::Corrupt || error.kind() == Kind::Exhausted) return error;
    return Error(Kind::Unavailable, error.message());
  }
  static Error refused(long status, const std::string& subject) {
    bool missing = status == 404 || status == 401 || status == 403;
    return failure(missing ? Kind::NotFound : Kind::Unavailable, "the other registry answered {} for {}",
                   status, subject);
  }
  static Error failed(const Repository& asked, Error error) {
    long status = asked.last_failure().status;
    return status == 0 ? unavailable(std::move(error)) : refused(status, error.message());
  }

  Surroundings surroundings_;
  Endpoint endpoint_;
  registry::Credentials credentials_;
};

}  // namespace

Result<std::shared_ptr<Upstream>> open_upstream(const std::string& text, registry::Credentials credentials) {
  auto url = Url::parse(text);
  if (!url || (url->target != "/" && !url->target.empty())) {
    return failure(Kind::InvalidArgument,
                   "invalid registry \"{}\": expected https://HOST[:PORT] or http://HOST:PORT", text);
  }
  Settings settings;
  // Who writes http:// wants http.
  if (!url->is_https()) settings.insecure.push_back(url->authority());
  Surroundings surroundings{std::make_shared<const Settings>(std::move(settings)),
                            std::make_shared<TokenCache>()};
  return std::shared_ptr<Upstream>(
      std::make_shared<OtherRegistry>(std::move(surroundings), std::move(*url), std::move(credentials)));
}

}  // namespace berth::registry::server
