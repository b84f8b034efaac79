// From a name to an image in the store.
#include "registry/client/pull.h"

#include <algorithm>

#include "base/format.h"
#include "registry/client/manifest_choice.h"
#include "storage/index_store.h"

namespace berth::registry {
namespace {

constexpr size_t max_config_bytes = size_t{8} << 20;
constexpr int max_index_depth = 4;

}  // namespace

Error pull_error(const Error& error, const RequestFailure& failure, const spec::Reference& reference) {
  const std::string& code = failure.error.code;
  if (failure.trouble != Trouble::None || failure.status == 0) return error;
  if (code == "DENIED") {
    return Error(
        Kind::NotFound,
        fmt::format("pull access denied for {}, repository does not exist or may require 'docker login': {}",
                    reference.familiar_name(), error.message()));
  }
  if (code == "NAME_UNKNOWN")
    return Error(Kind::NotFound,
                 fmt::format("repository {} not found: {}", reference.familiar_name(), error.message()));
  if (code == "MANIFEST_UNKNOWN" || failure.status == 404) {
    std::string cause = code.empty() ? "manifest unknown: manifest unknown" : error.message();
    return Error(Kind::NotFound,
                 fmt::format("manifest for {} not found: {}", reference.familiar_string(), cause));
  }
  return error;
}

Pull::Pull(Client::State& state, const PullRequest& request, spec::Reference reference,
           std::shared_ptr<Teller> teller, std::stop_token stop)
    : state_(state),
      request_(request),
      reference_(std::move(reference)),
      teller_(std::move(teller)),
      stop_(std::move(stop)),
      lease_(state.images.lease()),
      endpoints_(state.endpoints(reference_.domain())) {}

Pull::~Pull() = default;

void Pull::tell(const std::string& id, std::string status, uint64_t current, uint64_t total) {
  teller_->tell({.id = id, .status = std::move(status), .current = current, .total = total});
}

std::string Pull::tag_or_digest() const {
  return reference_.digest() ? reference_.digest()->str() : reference_.tag();
}

Result<Pulled> Pull::run() {
  std::optional<Digest> before = named_before();
  CHECK(resolve());
  tell(tag_or_digest(), "Pulling from " + reference_.path());
  CHECK(check_signatures());
  if (request_.all_platforms && index_) CHECK(fetch_index());
  if (!image_) {
    TRY(config_bytes_, fetch_config());
    CHECK(plan_layers());
    CHECK(fetch_layers());
  }
  TRY(Pulled pulled, finish());
  pulled.newer = before != pulled.image;
  return pulled;
}

std::optional<Digest> Pull::named_before() const {
  spec::Reference name = reference_.digest() ? reference_.with_tag("") : reference_;
  auto image = state_.images.resolve(name.str());
  return image ? std::optional(image->id) : std::nullopt;
}

std::optional<Digest> Pull::known(const Digest& top) const {
  spec::Reference name = reference_.without_tag_and_digest().with_digest(top);
  auto image = state_.images.resolve(name.str());
  if (!image || !spec::matches(wanted(), image->config->platform)) return std::nullopt;
  if (!request_.all_platforms || image->manifest == top) return image->id;
  auto kept = state_.images.indexes().find(top);
  return kept && *kept ? std::optional(image->id) : std::nullopt;
}

Result<void> Pull::resolve() {
  auto use = [&](Repository& repository) -> Result<void> {
    auto resolved = resolve_at(repository);
    if (resolved) return resolved;
    Error error = pull_error(resolved.error(), repository.last_failure(), reference_);
    const std::string& withheld = repository.session().withheld_from();
    if (!withheld.empty() && error.message().find("--registry-token-server") == std::string::npos) {
      return Error(error.kind(),
                   fmt::format("{}; the credentials were not sent to {}, since it is another host than the "
                               "registry: if it is the registry's token server, start berthd with "
                               "--registry-token-server {}",
                               error.message(), withheld, withheld));
    }
    return error;
  };
  TRY(Reached reached,
      on_some_endpoint(state_, endpoints_, reference_, request_.credentials, Access::Pull, stop_, use));
  // The one that has the manifest comes first for everything else; its other scheme is not tried any more.
  std::rotate(endpoints_.begin(), endpoints_.begin() + static_cast<std::ptrdiff_t>(reached.endpoint),
              endpoints_.begin() + static_cast<std::ptrdiff_t>(reached.endpoint) + 1);
  const Endpoint chosen = endpoints_.front();
  std::erase_if(endpoints_, [&](const Endpoint& other) {
    return other.base.host == chosen.base.host && other.base.scheme != chosen.base.scheme &&
           other.mirror == chosen.mirror;
  });
  return {};
}

Result<void> Pull::resolve_at(Repository& repository) {
  std::string name = tag_or_digest();
  std::optional<Digest> digest = reference_.digest();
  auto head = repository.head_manifest(name);
  if (head && !digest) digest = head->digest;
  if (!head) {
    const RequestFailure& failure = repository.last_failure();
    // The answer to HEAD has no body that says why.
    bool ask = failure.trouble == Trouble::None && failure.status >= 400;
    if (!ask) return std::move(head).error();
  }
  if (digest) image_ = known(*digest);
  if (image_) {
    top_ = digest;
    return {};
  }
  return fetch_top(repository, digest ? digest->str() : name, digest);
}

Result<void> Pull::fetch_top(Repository& repository, const std::string& name,
                             const std::optional<Digest>& digest) {
  TRY(RemoteManifest document, repository.get_manifest(name, digest));
  top_ = document.digest;
  image_ = known(*top_);
  if (image_) return {};
  return choose(repository, std::move(document), 0);
}

Result<void> Pull::choose(Repository& repository, RemoteManifest document, int depth) {
  if (spec::is_index_type(document.media_type)) {
    if (depth == 0) index_ = document;
    if (depth >= max_index_depth)
      return Error(Kind::InvalidArgument, "the registry's manifest lists are nested too deep");
    TRY(spec::Index index, spec::parse_index(document.bytes));
    auto found = choose_manifest(index, wanted());
    // Whoever wants all platforms gets them also where none is this machine's.
    bool any = !found && request_.all_platforms && !request_.platform;
    if (any) found = first_image(index);
    TRY(spec::Descriptor chosen, std::move(found));
    TRY(RemoteManifest inner, repository.get_manifest(chosen.digest.str(), chosen.digest));
    // OCI's specification forbids to trust such content. docker takes its own lists' word for the digest
    // alone, and tools have written those with wrong sizes.
    bool is_exact = document.media_type != spec::media_type::docker_manifest_list;
    if (is_exact && static_cast<int64_t>(inner.bytes.size()) != chosen.size)
      return failure(Kind::Corrupt, "manifest {} has not the size that the index says", chosen.digest.str());
    return choose(repository, std::move(inner), depth + 1);
  }
  TRY(spec::Manifest manifest, spec::parse_manifest(document.bytes));
  if (!spec::is_config_type(manifest.config.media_type)) {
    return failure(
        Kind::Unsupported, "{} is no container image but an artifact of type \"{}\"",
        reference_.familiar_string(),
        one_line(manifest.artifact_type.empty() ? manifest.config.media_type : manifest.artifact_type, 200));
  }
  for (const spec::Descriptor& layer : manifest.layers) {
    if (!spec::is_layer_type(layer.media_type))
      return failure(Kind::Unsupported, "{} has a layer of type \"{}\", which is none of an image",
                     reference_.familiar_string(), one_line(layer.media_type, 200));
  }
  lease_.add_blob(document.digest);
  parsed_ = std::move(manifest);
  manifest_ = std::move(document);
  return {};
}

Result<std::string> Pull::fetch_config() {
  const spec::Descriptor& config = parsed_->config;
  lease_.add_image(config.digest);
  if (auto kept = state_.images.content().read(config.digest, max_config_bytes)) return kept;
  std::string bytes;
  auto use = [&](Repository& repository) -> Result<void> {
    auto fetched = repository.get_blob(config, max_config_bytes);
    if (!fetched) return std::move(fetched).error();
    bytes = std::move(*fetched);
    return {};
  };
  CHECK(on_some_endpoint(state_, endpoints_, reference_, request_.credentials, Access::Pull, stop_, use));
  return bytes;
}

Result<void> Pull::plan_layers() {
  TRY(spec::ImageConfig config, spec::parse_image_config(config_bytes_));
  if (config.diff_ids.size() != parsed_->layers.size()) {
    return failure(Kind::InvalidArgument, "{}: its configuration names {} layers, its manifest {}",
                   reference_.familiar_string(), config.diff_ids.size(), parsed_->layers.size());
  }
  if (request_.platform && !spec::matches(*request_.platform, config.platform)) {
    return failure(
        Kind::NotFound,
        "image with reference {} was found but its platform ({}) does not match the specified platform ({})",
        reference_.familiar_string(), config.platform.str(), request_.platform->str());
  }
  std::optional<Digest> parent;
  for (size_t i = 0; i < config.diff_ids.size(); ++i) {
    Digest chain = spec::chain_id(parent, config.diff_ids[i]);
    lease_.add_chain(chain);
    lease_.add_blob(parsed_->layers[i].digest);
    layers_.push_back({.descriptor = parsed_->layers[i],
                       .diff_id = config.diff_ids[i],
                       .chain_id = chain,
                       .parent = parent});
    parent = chain;
  }
  config_ = std::move(config);
  return {};
}

Result<Pulled> Pull::finish() {
  std::vector<spec::Reference> names = {reference_.without_tag_and_digest().with_digest(*top_)};
  if (!reference_.digest()) names.push_back(reference_);
  Digest id = image_ ? *image_ : parsed_->config.digest;
  if (image_) {
    TRY(config_bytes_, state_.images.config_bytes(*image_));
  }
  storage::ReceivedImage received{.config_bytes = std::move(config_bytes_), .names = std::move(names)};
  if (manifest_) {
    CHECK(state_.images.content().put(manifest_->bytes, sys::Durability::None));
    received.manifest = manifest_->digest;
  }
  bool unchanged = image_ && !reference_.digest() && named_before() == id;
  if (!unchanged) CHECK(state_.images.receive(received));
  // Its name has to be there first: that is what an index is kept by.
  if (closure_) CHECK(state_.images.indexes().keep(*closure_));
  tell("", "Digest: " + top_->str());
  return Pulled{.reference = reference_, .image = std::move(id)};
}

}  // namespace berth::registry
