// The façade: what is shared, pulls of one or all tags, and what needs no layers.
#include "registry/client/client.h"

#include <algorithm>

#include "base/format.h"
#include "base/json.h"
#include "base/sha256.h"
#include "registry/client/client_state.h"
#include "registry/client/manifest_choice.h"
#include "registry/client/pull.h"
#include "registry/client/push.h"

namespace berth::registry {
namespace {

constexpr size_t max_config_bytes = size_t{8} << 20;

/// The registry alone: a reference whose path is never asked for.
Result<spec::Reference> registry_reference(const std::string& domain) {
  auto reference = spec::Reference::parse(domain + "/x");
  if (!reference || reference->domain() != domain)
    return failure(Kind::InvalidArgument, "\"{}\" is no registry's host name", domain.substr(0, 200));
  return reference;
}

Result<std::vector<SearchResult>> parse_results(const std::string& body, size_t limit) {
  TRY(Json json, parse_json(body));
  std::vector<SearchResult> results;
  auto list = json.is_object() ? json.find("results") : json.end();
  if (!json.is_object() || list == json.end() || !list->is_array())
    return Error(Kind::InvalidArgument, "the registry's answer to a search is none");
  for (const Json& entry : *list) {
    if (!entry.is_object() || results.size() >= limit) continue;
    SearchResult result;
    result.name = one_line(json_string(entry, "name").value_or(""), 300);
    result.description = one_line(json_string(entry, "description").value_or(""), 2000);
    result.stars = json_int(entry, "star_count").value_or(0);
    result.official = json_bool(entry, "is_official").value_or(false);
    result.automated = json_bool(entry, "is_automated").value_or(false);
    if (!result.name.empty()) results.push_back(std::move(result));
  }
  return results;
}

}  // namespace

Client::State::State(Settings given, storage::ImageStore& store)
    : surroundings{std::make_shared<const Settings>(std::move(given)), std::make_shared<TokenCache>()},
      images(store),
      fetcher(store.content(), surroundings.settings->max_downloads) {}

std::vector<Endpoint> Client::State::endpoints(const std::string& domain) const {
  std::vector<Endpoint> endpoints = endpoints_of(*surroundings.settings, domain);
  for (size_t i = 0; i + 1 < endpoints.size(); ++i) {
    const Url& https = endpoints[i].base;
    const Url& http = endpoints[i + 1].base;
    bool pair = https.is_https() && !http.is_https() && https.host == http.host;
    if (pair && surroundings.tokens->scheme_of(http.host + ":" + std::to_string(http.port)) == "http")
      std::swap(endpoints[i], endpoints[i + 1]);
  }
  return endpoints;
}

Repository Client::State::open(const Endpoint& endpoint, const spec::Reference& reference,
                               const Credentials& credentials, Access access,
                               const std::stop_token& stop) const {
  return Repository(Session(surroundings, endpoint, reference.path(), credentials, access, stop));
}

Client::Client(Settings settings, storage::ImageStore& images)
    : state_(std::make_unique<State>(std::move(settings), images)) {}
Client::~Client() = default;

const Settings& Client::settings() const {
  return *state_->surroundings.settings;
}

Result<std::vector<Pulled>> Client::pull(const PullRequest& request, const MessageCallback& tell,
                                         std::stop_token stop) {
  auto teller = std::make_shared<Teller>(tell);
  std::vector<spec::Reference> wanted = {request.reference};
  auto all = [&]() -> Result<std::vector<Pulled>> {
    if (request.all_tags) {
      std::vector<std::string> tags;
      auto use = [&](Repository& repository) -> Result<void> {
        auto found = repository.tags();
        if (!found) return pull_error(found.error(), repository.last_failure(), request.reference);
        tags = std::move(*found);
        return {};
      };
      std::vector<Endpoint> endpoints = state_->endpoints(request.reference.domain());
      CHECK(on_some_endpoint(*state_, endpoints, request.reference, request.credentials, Access::Pull, stop,
                             use));
      wanted.clear();
      for (std::string& tag : tags)
        wanted.push_back(request.reference.without_tag_and_digest().with_tag(std::move(tag)));
      if (wanted.empty())
        return failure(Kind::NotFound, "no tags found for {}", request.reference.familiar_name());
    }
    std::vector<Pulled> pulled;
    bool newer = false;
    for (const spec::Reference& reference : wanted) {
      TRY(Pulled one, Pull(*state_, request, reference, teller, stop).run());
      newer = newer || one.newer;
      pulled.push_back(std::move(one));
    }
    std::string name =
        request.all_tags ? request.reference.familiar_name() : request.reference.familiar_string();
    teller->tell(
        {.status =
             (newer ? "Status: Downloaded newer image for " : "Status: Image is up to date for ") + name});
    return pulled;
  };
  auto result = all();
  teller->close();
  return result;
}

Result<std::vector<PushedTag>> Client::push(const PushRequest& request, const MessageCallback& tell,
                                            std::stop_token stop) {
  return Push(*state_, request, tell, stop).run();
}

Result<LoginAnswer> Client::login(const Credentials& credentials, std::stop_token stop) {
  std::string domain = registry_of_server(credentials.server.empty() ? "docker.io" : credentials.server);
  TRY(spec::Reference reference, registry_reference(domain));
  LoginAnswer answer;
  auto use = [&](Repository& repository) -> Result<void> {
    Session& session = repository.session();
    session.keep_token();
    std::string url = session.endpoint().base.str() + "v2/";
    HttpOutcome outcome = session.send({.target = "v2/"});
    if (outcome.error) return std::move(*outcome.error);
    if (outcome.answer.status == 200) {
      answer.identity_token = session.refresh_token();
      return {};
    }
    RegistryError error = parse_registry_error(outcome.answer.status, outcome.answer.body,
                                               outcome.answer.header_list("www-authenticate"));
    if (outcome.answer.status == 401 || outcome.answer.status == 403) {
      return Error(Kind::Unauthenticated,
                   fmt::format("login attempt to {} failed with status: {}", url,
                               outcome.answer.status == 401 ? "401 Unauthorized" : "403 Forbidden"));
    }
    return failure(Kind::Unavailable, "login attempt to {} failed with status: {} ({})", url,
                   outcome.answer.status, error.str());
  };
  // Mirrors are not logged in to.
  std::vector<Endpoint> endpoints = state_->endpoints(domain);
  std::erase_if(endpoints, [](const Endpoint& endpoint) { return endpoint.mirror; });
  std::optional<Error> last;
  for (const Endpoint& endpoint : endpoints) {
    Repository repository = state_->open(endpoint, reference, credentials, Access::None, stop);
    auto done = use(repository);
    if (done) return answer;
    bool refused = done.error().kind() == Kind::Unauthenticated || done.error().kind() == Kind::Forbidden;
    last = std::move(done).error();
    if (refused) break;
  }
  return std::move(*last);
}

Result<RemoteImage> Client::inspect(const spec::Reference& given, const Credentials& credentials,
                                    std::stop_token stop) {
  spec::Reference reference = given.with_default_tag();
  RemoteImage remote{.descriptor = {.media_type = {}, .digest = sha256("")}, .platforms = {}};
  auto look = [&](Repository& repository) -> Result<void> {
    std::string name = reference.digest() ? reference.digest()->str() : reference.tag();
    TRY(RemoteManifest document, repository.get_manifest(name, reference.digest()));
    remote.descriptor.media_type = document.media_type;
    remote.descriptor.digest = document.digest;
    remote.descriptor.size = static_cast<int64_t>(document.bytes.size());
    if (spec::is_index_type(document.media_type)) {
      TRY(spec::Index index, spec::parse_index(document.bytes));
      remote.platforms = platforms_of(index);
      return {};
    }
    TRY(spec::Manifest manifest, spec::parse_manifest(document.bytes));
    if (!spec::is_config_type(manifest.config.media_type)) return {};
    TRY(std::string config, repository.get_blob(manifest.config, max_config_bytes));
    TRY(spec::ImageConfig parsed, spec::parse_image_config(config));
    remote.platforms = {parsed.platform};
    return {};
  };
  CHECK(read_from_registry(*state_, reference, credentials, stop, look));
  return remote;
}

Result<std::vector<SearchResult>> Client::search(const SearchRequest& request, std::stop_token stop) {
  std::string domain = "docker.io";
  std::string term = request.term;
  size_t slash = term.find('/');
  std::string first = term.substr(0, slash);
  bool has_host =
      slash != std::string::npos && (first.find_first_of(".:") != std::string::npos || first == "localhost");
  if (has_host) {
    domain = registry_of_server(first);
    term.erase(0, slash + 1);
  }
  TRY(spec::Reference reference, registry_reference(domain));
  std::vector<SearchResult> results;
  auto use = [&](Repository& repository) -> Result<void> {
    std::string target = with_query(with_query("v1/search", "q", term), "n", std::to_string(request.limit));
    HttpOutcome outcome = repository.session().send({.target = target, .max_body = size_t{8} << 20});
    if (outcome.error) return std::move(*outcome.error);
    if (outcome.answer.status == 404)
      return failure(Kind::Unsupported, "the registry {} offers no search (status 404)", domain);
    if (outcome.answer.status != 200)
      return failure(Kind::Unavailable, "Unexpected status code {}", outcome.answer.status);
    TRY(results, parse_results(outcome.answer.body, request.limit));
    return {};
  };
  // Searching the hub is another host's business than serving its images.
  std::vector<Endpoint> endpoints = state_->endpoints(domain);
  if (domain == "docker.io") {
    TRY(Url index, Url::parse("https://index.docker.io/"));
    endpoints = {{index, false}};
  }
  std::optional<Error> last;
  for (const Endpoint& endpoint : endpoints) {
    if (endpoint.mirror) continue;
    Repository repository = state_->open(endpoint, reference, request.credentials, Access::None, stop);
    auto done = use(repository);
    if (done) return results;
    last = std::move(done).error();
    if (last->kind() == Kind::Unsupported) break;
  }
  return std::move(*last);
}

}  // namespace berth::registry
