// Registries as clients use them: pull, push, login, lookups, search. The work is registry::Client's, on
// threads beside the loop; here are events, and that the same image is pulled once however many ask.
#pragma once

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

  /// For GET /info.
  const registry::Settings& settings() const;

 private:
  Core& core_;
};

}  // namespace berth::engine
