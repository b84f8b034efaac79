// Jobs, their keys and events.
#include "engine/registries.h"

#include <algorithm>
#include <charconv>

#include "base/format.h"
#include "engine/core.h"
#include "engine/image_events.h"
#include "engine/label_filters.h"
#include "engine/registry_jobs.h"

namespace berth::engine {
namespace {

void publish(Core& core, const char* action, const spec::Reference& reference) {
  core.events.publish(
      "image", action, reference.familiar_string(),
      image_event_attributes(*core.image_store, reference.familiar_string(), reference.familiar_name()));
}

}  // namespace

io::Task<Result<std::vector<registry::Pulled>>> Registries::pull(registry::PullRequest request,
                                                                 registry::MessageCallback tell) {
  std::string key = "pull " + request.reference.str() + (request.all_tags ? " all" : "") + " " +
                    (request.platform ? request.platform->str() : "") +
                    (request.all_platforms ? " all platforms" : "") + " " + request.credentials.fingerprint();
  RegistryJobs& jobs = *core_.registry_jobs;
  registry::Client* client = &jobs.client();
  spec::Reference reference = request.reference;
  RegistryJobs::Work<std::vector<registry::Pulled>> work =
      [client, request = std::move(request)](const registry::MessageCallback& told, std::stop_token stop) {
        return client->pull(request, told, std::move(stop));
      };
  auto running = jobs.run<std::vector<registry::Pulled>>(std::move(key), std::move(tell), std::move(work));
  CO_TRY(auto pulled, co_await std::move(running));
  publish(core_, "pull", reference);
  co_return pulled;
}

io::Task<Result<std::vector<registry::PushedTag>>> Registries::push(registry::PushRequest request,
                                                                    registry::MessageCallback tell) {
  RegistryJobs& jobs = *core_.registry_jobs;
  registry::Client* client = &jobs.client();
  spec::Reference reference = request.reference;
  RegistryJobs::Work<std::vector<registry::PushedTag>> work =
      [client, request = std::move(request)](const registry::MessageCallback& told, std::stop_token stop) {
        return client->push(request, told, std::move(stop));
      };
  auto running = jobs.run<std::vector<registry::PushedTag>>("", std::move(tell), std::move(work));
  CO_TRY(auto pushed, co_await std::move(running));
  publish(core_, "push", reference);
  co_return pushed;
}

io::Task<Result<Digest>> Registries::push_cache(registry::CachePush request, registry::MessageCallback tell) {
  RegistryJobs& jobs = *core_.registry_jobs;
  registry::Client* client = &jobs.client();
  RegistryJobs::Work<Digest> work = [client, request = std::move(request)](
                                        const registry::MessageCallback& told, std::stop_token stop) {
    return client->push_cache(request, told, std::move(stop));
  };
  auto running = jobs.run<Digest>("", std::move(tell), std::move(work));
  co_return co_await std::move(running);
}

io::Task<Result<registry::FetchedCache>> Registries::fetch_cache(spec::Reference reference,
                                                                 registry::Credentials credentials) {
  RegistryJobs& jobs = *core_.registry_jobs;
  registry::Client* client = &jobs.client();
  RegistryJobs::Work<registry::FetchedCache> work =
      [client, reference = std::move(reference), credentials = std::move(credentials)](
          const registry::MessageCallback&, std::stop_token stop) {
        return client->fetch_cache(reference, credentials, std::move(stop));
      };
  auto running = jobs.run<registry::FetchedCache>("", {}, std::move(work));
  co_return co_await std::move(running);
}

io::Task<Result<Digest>> Registries::fetch_cache_chain(std::shared_ptr<const registry::FetchedCache> from,
                                                       size_t layer, registry::Credentials credentials,
                                                       registry::MessageCallback tell) {
  RegistryJobs& jobs = *core_.registry_jobs;
  registry::Client* client = &jobs.client();
  RegistryJobs::Work<Digest> work = [client, from = std::move(from), layer,
                                     credentials = std::move(credentials)](
                                        const registry::MessageCallback& told, std::stop_token stop) {
    return client->fetch_cache_chain(*from, layer, credentials, told, std::move(stop));
  };
  auto running = jobs.run<Digest>("", std::move(tell), std::move(work));
  co_return co_await std::move(running);
}

io::Task<Result<registry::LoginAnswer>> Registries::login(registry::Credentials credentials) {
  RegistryJobs& jobs = *core_.registry_jobs;
  registry::Client* client = &jobs.client();
  RegistryJobs::Work<registry::LoginAnswer> work =
      [client, credentials = std::move(credentials)](const registry::MessageCallback&, std::stop_token stop) {
        return client->login(credentials, std::move(stop));
      };
  auto running = jobs.run<registry::LoginAnswer>("", {}, std::move(work));
  co_return co_await std::move(running);
}

io::Task<Result<registry::RemoteImage>> Registries::inspect(std::string reference,
                                                            registry::Credentials credentials) {
  CO_TRY(spec::Reference parsed, spec::Reference::parse(reference));
  RegistryJobs& jobs = *core_.registry_jobs;
  registry::Client* client = &jobs.client();
  RegistryJobs::Work<registry::RemoteImage> work = [client, parsed, credentials = std::move(credentials)](
                                                       const registry::MessageCallback&,
                                                       std::stop_token stop) {
    return client->inspect(parsed, credentials, std::move(stop));
  };
  auto running = jobs.run<registry::RemoteImage>("", {}, std::move(work));
  co_return co_await std::move(running);
}

io::Task<Result<std::vector<registry::SearchResult>>> Registries::search(registry::SearchRequest request,
                                                                         Filters filters) {
  CO_CHECK(check_filters(filters, {"is-automated", "is-official", "stars"}));
  CO_TRY(auto official, boolean_filter(filters, "is-official"));
  CO_TRY(auto automated, boolean_filter(filters, "is-automated"));
  int64_t stars = 0;
  for (const std::string& value : filter_values(filters, "stars")) {
    int64_t number = 0;
    auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (error != std::errc{} || end != value.data() + value.size())
      co_return failure(Kind::InvalidArgument, "invalid filter 'stars={}'", value.substr(0, 100));
    stars = std::max(stars, number);
  }
  RegistryJobs& jobs = *core_.registry_jobs;
  registry::Client* client = &jobs.client();
  RegistryJobs::Work<std::vector<registry::SearchResult>> work =
      [client, request = std::move(request)](const registry::MessageCallback&, std::stop_token stop) {
        return client->search(request, std::move(stop));
      };
  auto running = jobs.run<std::vector<registry::SearchResult>>("", {}, std::move(work));
  CO_TRY(auto results, co_await std::move(running));
  std::erase_if(results, [&](const registry::SearchResult& result) {
    return (official && result.official != *official) || (automated && result.automated != *automated) ||
           result.stars < stars;
  });
  co_return results;
}

const registry::Settings& Registries::settings() const {
  return core_.registry_jobs->client().settings();
}

}  // namespace berth::engine
