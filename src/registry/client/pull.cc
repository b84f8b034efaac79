// From a name to an image in the store.
#include "registry/client/pull.h"

#include <algorithm>
#include <array>

#include "base/format.h"
#include "base/sha256.h"
#include "registry/client/manifest_choice.h"
#include "storage/compression.h"
#include "storage/index_store.h"

namespace berth::registry {
namespace {

constexpr size_t max_config_bytes = size_t{8} << 20;
constexpr int max_index_depth = 4;
constexpr auto report_every = std::chrono::milliseconds(100);

/// Tells how much of a layer's archive has been unpacked, once it is all there.
class ExtractingSource : public storage::ByteSource {
 public:
  ExtractingSource(storage::ByteSource& source, std::function<void(uint64_t)> report)
      : source_(source), report_(std::move(report)) {}
  Result<size_t> read(std::span<char> buffer) override {
    TRY(size_t count, source_.read(buffer));
    current_ += count;
    auto now = std::chrono::steady_clock::now();
    if (now - told_ >= report_every) {
      told_ = now;
      report_(current_);
    }
    return count;
  }

 private:
  storage::ByteSource& source_;
  std::function<void(uint64_t)> report_;
  uint64_t current_ = 0;
  std::chrono::steady_clock::time_point told_{};
};

/// Gives back bytes that were looked at before the rest.
class PeekedSource : public storage::ByteSource {
 public:
  PeekedSource(std::string_view head, storage::ByteSource& rest) : head_(head), rest_(rest) {}
  Result<size_t> read(std::span<char> buffer) override {
    if (head_.empty()) return rest_.read(buffer);
    size_t count = std::min(head_.size(), buffer.size());
    std::copy_n(head_.data(), count, buffer.data());
    head_.remove_prefix(count);
    return count;
  }

 private:
  std::string_view head_;
  storage::ByteSource& rest_;
};

/// Verifies a blob that is read from the store while it is read.
class VerifyingSource : public storage::ByteSource {
 public:
  VerifyingSource(storage::ByteSource& source, Digest expected)
      : source_(source), expected_(std::move(expected)) {}
  Result<size_t> read(std::span<char> buffer) override {
    TRY(size_t count, source_.read(buffer));
    if (count > 0) {
      hash_.update({buffer.data(), count});
    } else if (!std::exchange(ended_, true) && hash_.finish() != expected_) {
      return failure(Kind::Corrupt, "blob {} is damaged on disk", expected_.str());
    }
    return count;
  }

 private:
  storage::ByteSource& source_;
  Digest expected_;
  Sha256 hash_;
  bool ended_ = false;
};

Result<std::string> peek(storage::ByteSource& source) {
  std::string head(6, '\0');
  size_t used = 0;
  while (used < head.size()) {
    TRY(size_t count, source.read(std::span(head).subspan(used)));
    if (count == 0) break;
    used += count;
  }
  head.resize(used);
  return head;
}

Message message_of(const std::string& id, const BlobEvent& event) {
  switch (event.kind) {
    case BlobEvent::Kind::Waiting:
      return {.id = id, .status = "Waiting"};
    case BlobEvent::Kind::Downloading:
      return {.id = id, .status = "Downloading", .current = event.current, .total = event.total};
    case BlobEvent::Kind::Retrying:
      return {.id = id,
              .status = fmt::format("Retrying in {} second{}", event.current, event.current == 1 ? "" : "s")};
    case BlobEvent::Kind::Verifying:
      return {.id = id, .status = "Verifying Checksum"};
    case BlobEvent::Kind::Complete:
      break;
  }
  return {.id = id, .status = "Download complete"};
}

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
    if (static_cast<int64_t>(inner.bytes.size()) != chosen.size)
      return failure(Kind::Corrupt, "manifest {} has not the size that the manifest list says",
                     chosen.digest.str());
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

void Pull::start_transfer(LayerWork& work) {
  BlobOrigin origin{.surroundings = state_.surroundings,
                    .endpoints = endpoints_,
                    .repository = reference_.path(),
                    .credentials = request_.credentials};
  work.transfer = state_.fetcher.fetch(origin, work.descriptor);
  std::string id = work.descriptor.digest.short_hex();
  std::shared_ptr<Teller> teller = teller_;
  work.listener = std::make_shared<BlobListener>(
      [teller, id](const BlobEvent& event) { teller->tell(message_of(id, event)); });
  work.transfer->listen(work.listener);
}

/// A layer that was made or imported here has no compressed form yet. The registry's is kept, so that the
/// image leaves under the digest under which it came.
bool Pull::lacks_blob(const LayerWork& work) const {
  auto layer = state_.images.snapshotter().layer(work.chain_id);
  return layer && !layer->blob && work.descriptor.digest != work.diff_id && work.descriptor.urls.empty();
}

Result<void> Pull::keep_blob(LayerWork& work) {
  auto verify = [&](storage::ByteSource& source) -> Result<void> {
    TRY(auto plain, storage::decompress(source));
    storage::HashingSink hash(nullptr);
    CHECK(storage::copy_stream(*plain, hash, stop_));
    if (hash.finish() == work.diff_id) return {};
    return failure(Kind::Corrupt, "layer is damaged: {} is not what the image's configuration says",
                   work.descriptor.digest.str());
  };
  auto reader = work.transfer->reader(stop_);
  auto right = verify(*reader);
  CHECK(work.transfer->wait(stop_));
  if (!right) work.transfer->discard();
  CHECK(std::move(right));
  CHECK(work.transfer->commit());
  return state_.images.snapshotter().set_blob(work.chain_id,
                                              {.digest = work.descriptor.digest,
                                               .media_type = work.descriptor.media_type,
                                               .size = static_cast<uint64_t>(work.descriptor.size)});
}

Result<void> Pull::fetch_layers() {
  storage::Snapshotter& snapshotter = state_.images.snapshotter();
  std::vector<LayerWork*> missing;
  for (LayerWork& work : layers_) {
    std::string id = work.descriptor.digest.short_hex();
    work.unpacked = snapshotter.has_layer(work.chain_id);
    if (work.unpacked && !lacks_blob(work)) {
      tell(id, "Already exists");
      continue;
    }
    tell(id, "Pulling fs layer");
    missing.push_back(&work);
  }
  for (LayerWork* work : missing) {
    if (work->unpacked || !state_.images.content().contains(work->descriptor.digest)) start_transfer(*work);
  }
  for (LayerWork* work : missing) {
    CHECK(work->unpacked ? keep_blob(*work) : unpack(*work));
    tell(work->descriptor.digest.short_hex(), "Pull complete");
    work->transfer.reset();
  }
  return {};
}

/// Bytes that are in the store already; false: they are not, or are damaged and have been removed.
Result<bool> Pull::unpack_kept_blob(LayerWork& work) {
  auto file = state_.images.content().open_blob(work.descriptor.digest);
  if (!file) return false;
  TRY(auto source, storage::FileSource::whole(std::move(*file)));
  VerifyingSource verified(*source, work.descriptor.digest);
  auto unpacked = unpack_from(work, verified);
  if (unpacked) return true;
  if (unpacked.error().kind() != Kind::Corrupt) return std::move(unpacked).error();
  CHECK(state_.images.content().remove(work.descriptor.digest));
  return false;
}

Result<void> Pull::unpack(LayerWork& work) {
  if (!work.transfer) {
    TRY(bool done, unpack_kept_blob(work));
    if (done) return {};
    start_transfer(work);
  }
  for (bool second = false;; second = true) {
    auto reader = work.transfer->reader(stop_);
    auto unpacked = unpack_from(work, *reader);
    if (unpacked) {
      // Unless the archive is kept by now: the tree alone can give it back, or another pull has unpacked it.
      work.transfer->discard();
      return {};
    }
    // What an earlier engine has left of a download may be damaged: once more from the beginning.
    bool again = !second && unpacked.error().kind() == Kind::Corrupt && work.transfer->was_resumed();
    if (!again) {
      // What the registry sent is wrong, and the download itself says it best.
      if (unpacked.error().kind() == Kind::Corrupt) {
        auto whole = work.transfer->wait(stop_);
        work.transfer->discard();
        if (!whole) return whole;
      }
      return unpacked;
    }
    (void)work.transfer->wait(stop_);
    work.transfer->discard();
    reader.reset();
    work.transfer.reset();
    start_transfer(work);
  }
}

Result<void> Pull::unpack_from(LayerWork& work, storage::ByteSource& source) {
  TRY(std::string head, peek(source));
  PeekedSource whole(head, source);
  std::string id = work.descriptor.digest.short_hex();
  auto total = static_cast<uint64_t>(work.descriptor.size);
  BlobTransfer* transfer = work.transfer.get();
  ExtractingSource counted(whole, [&](uint64_t current) {
    if (transfer == nullptr || transfer->complete()) tell(id, "Extracting", current, total);
  });
  storage::Snapshotter::UnpackRequest request{.parent = work.parent, .diff_id = work.diff_id, .stop = stop_};
  if (storage::detect_compression(head) != storage::Compression::None)
    request.keep = storage::Snapshotter::UnpackRequest::Keep::Always;
  storage::LayerBlob blob{
      .digest = work.descriptor.digest, .media_type = work.descriptor.media_type, .size = total};
  if (transfer == nullptr) {
    if (request.keep == storage::Snapshotter::UnpackRequest::Keep::Always) request.blob = blob;
    request.keep_archive = [blob]() -> Result<storage::LayerBlob> { return blob; };
  } else {
    request.keep_archive = [this, transfer, blob]() -> Result<storage::LayerBlob> {
      CHECK(transfer->wait(stop_));
      CHECK(transfer->commit());
      return blob;
    };
  }
  CHECK(state_.images.snapshotter().unpack(counted, request));
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
