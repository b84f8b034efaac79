// Registries as clients use them: pull, push, login, lookups, search. The work is registry::Client's, on
// threads beside the loop; here are events, and that the same image is pulled once however many ask.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/events.h"
#include "io/task.h"
#include "registry/client/client.h"

namespace berth::engine {

class Core;

class Registries {
 public:
  explicit Registries(Core& core) : core_(core) {}

  /// Messages come on the loop thread while the task runs. Destroying the task gives up waiting; the work
  /// ends when nobody else waits for it.
  io::Task<Result<std::vector<registry::Pulled>>> pull(registry::PullRequest request,
                                                       registry::MessageCallback tell);
  io::Task<Result<std::vector<registry::PushedTag>>> push(registry::PushRequest request,
                                                          registry::MessageCallback tell);
  io::Task<Result<registry::LoginAnswer>> login(registry::Credentials credentials);
  io::Task<Result<registry::RemoteImage>> inspect(std::string reference, registry::Credentials credentials);
  /// Filters: is-official, is-automated, stars.
  io::Task<Result<std::vector<registry::SearchResult>>> search(registry::SearchRequest request,
                                                               Filters filters);

  /// Build caches (registry/client/client.h).
  io::Task<Result<Digest>> push_cache(registry::CachePush request, registry::MessageCallback tell);
  io::Task<Result<registry::FetchedCache>> fetch_cache(spec::Reference reference,
                                                       registry::Credentials credentials);
  /// `from` must outlive the engine's threads: shared.
  io::Task<Result<Digest>> fetch_cache_chain(std::shared_ptr<const registry::FetchedCache> from, size_t layer,
                                             registry::Credentials credentials,
                                             registry::MessageCallback tell);

  /// For GET /info.
  const registry::Settings& settings() const;

 private:
  Core& core_;
};

}  // namespace berth::engine
