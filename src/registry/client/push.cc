// From an image in the store to a registry.
#include "registry/client/push.h"

#include <algorithm>
#include <atomic>
#include <thread>

#include "base/format.h"
#include "base/sha256.h"
#include "storage/held_blobs.h"
#include "sys/file.h"

namespace berth::registry {
namespace {

constexpr size_t max_document = size_t{8} << 20;
constexpr auto report_every = std::chrono::milliseconds(100);
constexpr unsigned most_attempts = 5;
/// A blob of at most this size is sent by one request: to resume it would cost more than to send it again.
constexpr uint64_t most_at_once = uint64_t{1} << 20;

/// Reports what has been read of a body.
class CountedSource : public storage::ByteSource {
 public:
  CountedSource(storage::ByteSource& source, uint64_t already, std::function<void(uint64_t)> report)
      : source_(source), current_(already), report_(std::move(report)) {}
  Result<size_t> read(std::span<char> buffer) override {
    TRY(size_t count, source_.read(buffer));
    current_ += count;
    auto now = std::chrono::steady_clock::now();
    if (count > 0 && now - told_ >= report_every) {
      told_ = now;
      report_(current_);
    }
    return count;
  }

 private:
  storage::ByteSource& source_;
  uint64_t current_;
  std::function<void(uint64_t)> report_;
  std::chrono::steady_clock::time_point told_{};
};

bool is_docker_layer(const storage::Layer& layer) {
  return layer.blob && layer.blob->media_type.starts_with("application/vnd.docker.");
}

bool is_foreign_type(std::string_view type) {
  return type.find("nondistributable") != std::string_view::npos ||
         type.find(".foreign.") != std::string_view::npos;
}

/// The OCI name of a layer's type: a manifest of ours is of one family.
std::string oci_layer_type(const std::string& type) {
  if (type == spec::media_type::docker_layer) return std::string(spec::media_type::oci_layer);
  if (type == spec::media_type::docker_layer_gzip) return std::string(spec::media_type::oci_layer_gzip);
  return type;
}

/// As the layer's plain tar is described.
bool is_plain(const spec::Descriptor& descriptor, const storage::Layer& layer) {
  return descriptor.digest == layer.diff_id;
}

}  // namespace

Push::Push(Client::State& state, const PushRequest& request, const MessageCallback& tell,
           std::stop_token stop)
    : state_(state),
      request_(request),
      teller_(std::make_shared<Teller>(tell)),
      outer_stop_(std::move(stop)),
      lease_(state.images.lease()) {}

Push::~Push() = default;

void Push::tell(const std::string& id, std::string status, uint64_t current, uint64_t total) {
  teller_->tell({.id = id, .status = std::move(status), .current = current, .total = total});
}

Repository Push::open(const std::stop_token& stop) const {
  return state_.open(*endpoint_, request_.reference, request_.credentials, Access::Push, stop);
}

Result<std::vector<Push::Tag>> Push::tags() const {
  const spec::Reference& wanted = request_.reference;
  std::vector<Tag> found;
  TRY(std::vector<storage::Image> images, state_.images.list(true));
  for (storage::Image& image : images) {
    for (const std::string& text : image.repo_tags) {
      TRY(spec::Reference name, spec::Reference::parse(text));
      if (name.name() == wanted.name()) found.push_back({name.tag(), image});
    }
  }
  if (found.empty())
    return failure(Kind::NotFound, "An image does not exist locally with the tag: {}",
                   wanted.familiar_name());
  if (!wanted.tag().empty()) std::erase_if(found, [&](const Tag& tag) { return tag.tag != wanted.tag(); });
  if (found.empty()) return failure(Kind::NotFound, "tag does not exist: {}", wanted.familiar_string());
  std::sort(found.begin(), found.end(), [](const Tag& a, const Tag& b) { return a.tag < b.tag; });
  return found;
}

Result<void> Push::find_endpoint() {
  std::vector<Endpoint> endpoints = state_.endpoints(request_.reference.domain());
  std::erase_if(endpoints, [](const Endpoint& endpoint) { return endpoint.mirror; });
  auto use = [&](Repository& repository) -> Result<void> {
    // Any answer tells that the registry is there, and a challenge is answered for the right scope at once.
    HttpOutcome outcome = repository.session().send({.target = "v2/"});
    if (outcome.error) {
      // on_some_endpoint() asks for the failure of a request of the repository's own.
      auto again = repository.has_blob(sha256(""));
      if (!again) return std::move(*outcome.error);
    }
    return {};
  };
  TRY(Reached reached, on_some_endpoint(state_, endpoints, request_.reference, request_.credentials,
                                        Access::Push, outer_stop_, use));
  endpoint_ = endpoints[reached.endpoint];
  return {};
}

Result<std::vector<PushedTag>> Push::run() {
  tell("", fmt::format("The push refers to repository [{}]", request_.reference.name()));
  TRY(std::vector<Tag> tags, tags());
  auto finished = [&]() -> Result<std::vector<PushedTag>> {
    CHECK(find_endpoint());
    std::vector<PushedTag> pushed;
    for (const Tag& tag : tags) {
      TRY(PushedTag one, push_tag(tag));
      tell("", fmt::format("{}: digest: {} size: {}", one.tag, one.digest.str(), one.size));
      teller_->tell({.pushed = one});
      pushed.push_back(std::move(one));
    }
    return pushed;
  };
  auto result = finished();
  teller_->close();
  return result;
}

Result<std::vector<storage::Layer>> Push::layers_of(const storage::Image& image) const {
  std::vector<storage::Layer> layers;
  if (!image.chain_id) return layers;
  TRY(layers, state_.images.snapshotter().chain(*image.chain_id));
  std::reverse(layers.begin(), layers.end());
  return layers;
}

std::optional<Push::Document> Push::original(const storage::Image& image,
                                             const std::vector<storage::Layer>& layers) const {
  if (!image.manifest) return std::nullopt;
  auto bytes = state_.images.content().read(*image.manifest, max_document);
  if (!bytes) return std::nullopt;
  auto manifest = spec::parse_manifest(*bytes);
  if (!manifest || manifest->config.digest != image.id) return std::nullopt;
  // It must describe the very blobs that are here, or that can be made from the trees again.
  bool same = std::equal(manifest->layers.begin(), manifest->layers.end(), layers.begin(), layers.end(),
                         [](const spec::Descriptor& descriptor, const storage::Layer& layer) {
                           bool kept = layer.blob && layer.blob->digest == descriptor.digest;
                           return kept || is_plain(descriptor, layer);
                         });
  if (!same) return std::nullopt;
  return Document{std::move(*manifest), std::move(*bytes)};
}

Result<Push::Document> Push::make_manifest(const storage::Image& image,
                                           const std::vector<storage::Layer>& layers) const {
  TRY(std::string config, state_.images.config_bytes(image.id));
  bool docker = !layers.empty() && std::all_of(layers.begin(), layers.end(), is_docker_layer);
  auto type = [docker](std::string_view ours, std::string_view theirs) {
    return std::string(docker ? theirs : ours);
  };
  spec::Manifest manifest{
      .media_type = type(spec::media_type::oci_manifest, spec::media_type::docker_manifest),
      .config = {.media_type = type(spec::media_type::oci_config, spec::media_type::docker_config),
                 .digest = image.id,
                 .size = static_cast<int64_t>(config.size())}};
  for (const storage::Layer& layer : layers) {
    if (!layer.blob) return Error(Kind::Internal, "a layer was pushed without its blob being kept");
    manifest.layers.push_back(
        {.media_type = docker ? layer.blob->media_type : oci_layer_type(layer.blob->media_type),
         .digest = layer.blob->digest,
         .size = static_cast<int64_t>(layer.blob->size)});
  }
  std::string bytes = spec::serialise(manifest);
  return Document{std::move(manifest), std::move(bytes)};
}

Result<PushedTag> Push::push_tag(const Tag& tag) {
  const storage::Image& image = tag.image;
  TRY(std::optional<PushedTag> kept_index, push_kept(tag));
  if (kept_index) return std::move(*kept_index);
  lease_.add_image(image.id);
  if (image.chain_id) lease_.add_chain(*image.chain_id);
  if (image.manifest) lease_.add_blob(*image.manifest);
  TRY(std::vector<storage::Layer> layers, layers_of(image));
  auto document = original(image, layers);
  CHECK(send_layers(layers, document, image.id));
  Repository repository = open(outer_stop_);
  if (!document) {
    TRY(layers, layers_of(image));  // with the blobs that were made meanwhile
    TRY(Document made, make_manifest(image, layers));
    document = std::move(made);
  }
  CHECK(repository.put_manifest(tag.tag, document->bytes, document->manifest.media_type));
  PushedTag pushed{.tag = tag.tag, .digest = sha256(document->bytes), .size = document->bytes.size()};
  // From now on the image has this digest, and leaves the same way again.
  lease_.add_blob(pushed.digest);
  CHECK(state_.images.content().put(document->bytes, sys::Durability::None));
  TRY(std::string config, state_.images.config_bytes(image.id));
  storage::ReceivedImage kept{.config_bytes = std::move(config), .manifest = pushed.digest};
  kept.names = {request_.reference.without_tag_and_digest().with_digest(pushed.digest)};
  CHECK(state_.images.receive(kept));
  return pushed;
}

std::vector<std::string> Push::mount_sources(const Digest& digest) const {
  std::vector<std::string> sources;
  auto it = blob_repositories_.find(digest);
  if (it == blob_repositories_.end()) return sources;
  constexpr size_t most = 3;
  for (const std::string& repository : it->second) {
    if (repository != request_.reference.path() && sources.size() < most) sources.push_back(repository);
  }
  return sources;
}

Result<void> Push::send_layers(const std::vector<storage::Layer>& layers,
                               const std::optional<Document>& original, const std::optional<Digest>& config) {
  TRY(std::vector<storage::Image> images, state_.images.list(true));
  for (const storage::Image& image : images) {
    std::set<std::string> repositories;
    for (const std::string& text : image.repo_digests) {
      auto name = spec::Reference::parse(text);
      if (name && name->domain() == request_.reference.domain()) repositories.insert(name->path());
    }
    auto chain = image.chain_id && !repositories.empty() ? state_.images.snapshotter().chain(*image.chain_id)
                                                         : Result<std::vector<storage::Layer>>();
    if (!chain) continue;
    // A layer may have left compressed or, as it had come, uncompressed.
    for (const storage::Layer& layer : *chain) {
      blob_repositories_[layer.diff_id].insert(repositories.begin(), repositories.end());
      if (layer.blob) blob_repositories_[layer.blob->digest].insert(repositories.begin(), repositories.end());
    }
  }
  struct Work {
    storage::Layer layer;
    bool as_plain;
  };
  std::vector<Work> work;
  for (size_t i = 0; i < layers.size(); ++i) {
    const Digest& own = layers[i].blob ? layers[i].blob->digest : layers[i].diff_id;
    if (!sent_.insert(original ? original->manifest.layers[i].digest : own).second) continue;
    bool foreign = original && is_foreign_type(original->manifest.layers[i].media_type) &&
                   !original->manifest.layers[i].urls.empty();
    tell(layers[i].diff_id.short_hex(), foreign ? "Skipped foreign layer" : "Preparing");
    if (!foreign) work.push_back({layers[i], original && is_plain(original->manifest.layers[i], layers[i])});
  }
  size_t at_once = std::min<size_t>(work.size(), state_.surroundings.settings->max_uploads);
  for (size_t i = at_once; i < work.size(); ++i) tell(work[i].layer.diff_id.short_hex(), "Waiting");
  // The configuration is known from the beginning: its few requests run beside the layers'.
  size_t before = config ? 1 : 0;
  return send_all(before + work.size(), [&](Repository& repository, size_t i) {
    if (i < before) return send_config(repository, *config);
    return send_layer(repository, work[i - before].layer, work[i - before].as_plain);
  });
}

Result<void> Push::send_all(size_t count, const std::function<Result<void>(Repository&, size_t)>& send) {
  std::stop_callback pass_on(outer_stop_, [this] { stop_.request_stop(); });
  std::atomic<size_t> next{0};
  std::optional<Error> first_error;
  auto worker = [&] {
    Repository repository = open(stop_.get_token());
    for (size_t i = next++; i < count; i = next++) {
      auto sent = send(repository, i);
      if (sent) continue;
      std::lock_guard lock(mutex_);
      if (!first_error) first_error = std::move(sent).error();
      stop_.request_stop();
      return;
    }
  };
  size_t threads = std::min<size_t>(count, state_.surroundings.settings->max_uploads);
  {
    std::vector<std::jthread> pool;
    for (size_t i = 0; i < threads; ++i) pool.emplace_back(worker);
  }
  if (first_error) return std::move(*first_error);
  if (outer_stop_.stop_requested()) return Error(Kind::Cancelled, "context canceled");
  return {};
}

Result<void> Push::send_layer(Repository& repository, storage::Layer layer, bool as_plain) {
  std::string id = layer.diff_id.short_hex();
  bool kept_plain = layer.blob && layer.blob->digest == layer.diff_id;
  if (as_plain && !kept_plain) return upload_plain(repository, layer, id);
  if (layer.blob) return send_blob(repository, *layer.blob, id);
  return send_new(repository, layer, id);
}

Result<void> Push::send_blob(Repository& repository, const storage::LayerBlob& blob, const std::string& id) {
  const Digest& digest = blob.digest;
  lease_.add_blob(digest);
  TRY(bool there, repository.has_blob(digest));
  if (there) {
    tell(id, "Layer already exists");
    return {};
  }
  TRY(Repository::UploadStart start, mount_or_begin(repository, digest, id));
  if (start.mounted) return {};
  CHECK(upload(repository, digest, blob.size, start.location, id));
  tell(id, "Pushed");
  return {};
}

Result<Repository::UploadStart> Push::mount_or_begin(Repository& repository, const Digest& digest,
                                                     const std::string& id) {
  for (const std::string& source : mount_sources(digest)) {
    auto start = repository.start_upload(digest, source);
    // A registry that refuses the mount gets the bytes.
    if (!start && repository.last_failure().status == 0) return std::move(start).error();
    if (!start) continue;
    if (start->mounted) tell(id, "Mounted from " + source);
    if (start->mounted || !start->location.empty()) return start;
    break;
  }
  return repository.start_upload(std::nullopt, "");
}

/// A layer that came uncompressed goes as it came; its tar is made again from the tree.
Result<void> Push::upload_plain(Repository& repository, const storage::Layer& layer, const std::string& id) {
  TRY(bool there, repository.has_blob(layer.diff_id));
  if (there) {
    tell(id, "Layer already exists");
    return {};
  }
  TRY(Repository::UploadStart start, mount_or_begin(repository, layer.diff_id, id));
  if (start.mounted) return {};
  lease_.add_blob(layer.diff_id);
  TRY(auto ingest, state_.images.content().begin({.digest = layer.diff_id}));
  CHECK(state_.images.snapshotter().write_layer_tar(layer.chain_id, *ingest, stop_.get_token()));
  TRY(storage::BlobInfo info, ingest->commit(sys::Durability::None));
  auto sent = upload(repository, layer.diff_id, info.size, start.location, id);
  // The tree can give it back at any time.
  CHECK(storage::remove_unless_held(state_.images.content(), layer.diff_id));
  CHECK(std::move(sent));
  tell(id, "Pushed");
  return {};
}

Result<void> Push::upload(Repository& repository, const Digest& digest, uint64_t size,
                          const std::string& location, const std::string& id, uint64_t offset) {
  std::string next = location;
  for (unsigned attempt = 0;; ++attempt) {
    TRY(sys::UniqueFd file, state_.images.content().open_blob(digest));
    storage::FileSource source(std::move(file), offset, size - offset);
    CountedSource counted(source, offset, [&](uint64_t done) {
      if (!id.empty()) tell(id, "Pushing", done, size);
    });
    bool whole = offset == 0 && size <= most_at_once;
    Result<std::string> sent = next;
    if (whole) {
      auto put = repository.put_whole(next, digest, counted, size);
      if (put) return {};
      sent = std::move(put).error();
    } else if (offset != size) {
      sent = repository.send_chunk(next, counted, offset, size - offset);
    }
    if (sent) return repository.finish_upload(*sent, digest);
    RequestFailure why = repository.last_failure();
    // 404: the registry has forgotten the upload.
    bool passes = why.trouble == Trouble::Broken || why.trouble == Trouble::Connect || why.status == 401 ||
                  why.status == 404 || why.status == 416 || is_passing(why.status);
    bool again = passes && attempt + 1 < most_attempts && !stop_.stop_requested() &&
                 sleep_unless_stopped(std::chrono::milliseconds(250u << attempt), stop_.get_token());
    if (!again) return std::move(sent).error();
    auto state = repository.upload_state(next);
    if (state && state->offset <= size) {
      offset = state->offset;
      next = state->location;
    } else {
      // The registry has forgotten the upload, or never told how far it came: a new one.
      TRY(Repository::UploadStart start, repository.start_upload(std::nullopt, ""));
      next = start.location;
      offset = 0;
    }
  }
}

Result<void> Push::send_config(Repository& repository, const Digest& id) {
  TRY(bool there, repository.has_blob(id));
  if (there) return {};
  TRY(uint64_t size, state_.images.content().size(id));
  TRY(Repository::UploadStart start, repository.start_upload(std::nullopt, ""));
  return upload(repository, id, size, start.location, "");
}

}  // namespace berth::registry
