// What pull, push and lookups of one Client share. Internal to registry/client.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "registry/client/blob_transfer.h"
#include "registry/client/client.h"
#include "registry/client/repository.h"

namespace berth::registry {

struct Client::State {
  State(Settings given, storage::ImageStore& store);

  Surroundings surroundings;
  storage::ImageStore& images;
  BlobFetcher fetcher;

  /// Best first, the scheme that worked last before the other.
  std::vector<Endpoint> endpoints(const std::string& domain) const;
  Repository open(const Endpoint& endpoint, const spec::Reference& reference, const Credentials& credentials,
                  Access access, const std::stop_token& stop) const;
};

/// Tries the endpoints in turn until `use(Repository&)` succeeds or fails in a way that another endpoint
/// would not change. Returns its value and which endpoint it was.
struct Reached {
  size_t endpoint = 0;
};
template <class Use>
Result<Reached> on_some_endpoint(Client::State& state, const std::vector<Endpoint>& endpoints,
                                 const spec::Reference& reference, const Credentials& credentials,
                                 Access access, const std::stop_token& stop, Use use) {
  std::optional<Error> first;
  std::optional<Error> last;
  for (size_t i = 0; i < endpoints.size(); ++i) {
    Repository repository = state.open(endpoints[i], reference, credentials, access, stop);
    Result<void> done = use(repository);
    const Endpoint& endpoint = endpoints[i];
    if (done) {
      state.surroundings.tokens->worked(endpoint.base.host + ":" + std::to_string(endpoint.base.port),
                                        endpoint.base.scheme);
      return Reached{i};
    }
    const RequestFailure& failure = repository.last_failure();
    bool move_on = endpoint.mirror || failure.trouble == Trouble::Connect ||
                   (failure.trouble == Trouble::Broken && endpoint.base.is_https());
    // "Client sent an HTTP request to an HTTPS server": what https had to say was the point.
    bool wrong_scheme = first && failure.status == 400 && !endpoint.base.is_https();
    last = wrong_scheme ? *first : std::move(done).error();
    if (!endpoint.mirror && !first) first = last;
    if (!move_on || stop.stop_requested()) break;
  }
  if (!last) return Error(Kind::InvalidArgument, "the registry's name is no host name");
  return std::move(*last);
}

/// docker's words for why a pull failed.
Error pull_error(const Error& error, const RequestFailure& failure, const spec::Reference& reference);

/// Reads something of `reference` (`look(Repository&)`) from an endpoint that has it, with a pull's errors.
template <class Look>
Result<void> read_from_registry(Client::State& state, const spec::Reference& reference,
                                const Credentials& credentials, const std::stop_token& stop, Look look) {
  auto use = [&](Repository& repository) -> Result<void> {
    auto done = look(repository);
    if (!done) return pull_error(done.error(), repository.last_failure(), reference);
    return {};
  };
  CHECK(on_some_endpoint(state, state.endpoints(reference.domain()), reference, credentials, Access::Pull,
                         stop, use));
  return {};
}

/// Passes messages on, one at a time, until closed: threads that outlive a pull's frame may hold it.
class Teller {
 public:
  explicit Teller(const MessageCallback& callback) : callback_(callback) {}
  void tell(const Message& message) {
    std::lock_guard lock(mutex_);
    if (callback_) callback_(message);
  }
  void close() {
    std::lock_guard lock(mutex_);
    callback_ = {};
  }

 private:
  std::mutex mutex_;
  MessageCallback callback_;
};

}  // namespace berth::registry
