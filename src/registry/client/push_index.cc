// Push of what was kept of an index: every blob as it came, then the manifests, and the index last.
#include <algorithm>

#include "base/format.h"
#include "registry/client/push.h"
#include "storage/index_store.h"

namespace berth::registry {
namespace {

/// One manifest of a kept index as something to push: itself and its blobs.
Result<storage::IndexClosure> closure_of(const storage::IndexClosure& index, const Digest& manifest) {
  storage::IndexClosure closure;
  for (const storage::IndexDocument& document : index.documents) {
    if (document.descriptor.digest != manifest) continue;
    TRY(spec::Manifest parsed, spec::parse_manifest(document.bytes));
    closure.blobs = parsed.layers;
    std::erase_if(closure.blobs, [](const spec::Descriptor& layer) { return !layer.urls.empty(); });
    closure.blobs.push_back(parsed.config);
    closure.documents.push_back(document);
    return closure;
  }
  return failure(Kind::Corrupt, "an index has lost its manifest {}", manifest.str());
}

}  // namespace

Result<std::optional<PushedTag>> Push::push_kept(const Tag& tag) {
  storage::IndexStore& indexes = state_.images.indexes();
  TRY(std::optional<storage::KeptIndex> index, indexes.of_names(tag.image.repo_digests));
  bool is_host_image = request_.platform && spec::matches(*request_.platform, tag.image.config->platform);
  if (is_host_image || (!index && !request_.platform)) return std::optional<PushedTag>();
  const storage::IndexImage* chosen =
      index && request_.platform ? storage::find_platform(index->images, *request_.platform) : nullptr;
  if (request_.platform && chosen == nullptr) {
    return failure(Kind::NotFound, "image {} is not here for {}: pull it with --platform or --all-platforms",
                   request_.reference.familiar_name() + ":" + tag.tag, request_.platform->str());
  }
  lease_.add_image(tag.image.id);
  TRY(std::set<Digest> held, indexes.blobs(index->digest));
  for (const Digest& digest : held) lease_.add_blob(digest);
  TRY(storage::IndexClosure closure, indexes.closure(*index));
  if (chosen != nullptr) {
    TRY(closure, closure_of(closure, chosen->manifest));
  }
  TRY(PushedTag pushed, push_closure(tag, closure));
  if (chosen == nullptr) {
    // From now on the image has a name of this repository with the index's digest.
    TRY(std::string config, state_.images.config_bytes(tag.image.id));
    storage::ReceivedImage kept{.config_bytes = std::move(config)};
    kept.names = {request_.reference.without_tag_and_digest().with_digest(pushed.digest)};
    CHECK(state_.images.receive(kept));
  }
  return std::optional<PushedTag>(std::move(pushed));
}

Result<PushedTag> Push::push_closure(const Tag& tag, const storage::IndexClosure& closure) {
  CHECK(send_blobs(closure.blobs));
  Repository repository = open(outer_stop_);
  const storage::IndexDocument& top = closure.documents.back();
  for (const storage::IndexDocument& document : closure.documents) {
    const spec::Descriptor& descriptor = document.descriptor;
    std::string name = &document == &top ? tag.tag : descriptor.digest.str();
    CHECK(repository.put_manifest(name, document.bytes, descriptor.media_type));
  }
  return PushedTag{.tag = tag.tag, .digest = top.descriptor.digest, .size = top.bytes.size()};
}

Result<void> Push::send_blobs(const std::vector<spec::Descriptor>& blobs) {
  std::vector<const spec::Descriptor*> work;
  for (const spec::Descriptor& blob : blobs) {
    if (!sent_.insert(blob.digest).second) continue;
    tell(blob.digest.short_hex(), "Preparing");
    work.push_back(&blob);
  }
  return send_all(work.size(),
                  [&](Repository& repository, size_t i) { return send_blob(repository, *work[i]); });
}

Result<void> Push::send_blob(Repository& repository, const spec::Descriptor& blob) {
  std::string id = blob.digest.short_hex();
  TRY(bool there, repository.has_blob(blob.digest));
  if (there) {
    tell(id, "Layer already exists");
    return {};
  }
  TRY(Repository::UploadStart start, repository.start_upload(std::nullopt, ""));
  CHECK(upload(repository, blob.digest, static_cast<uint64_t>(blob.size), start.location, id));
  tell(id, "Pushed");
  return {};
}

}  // namespace berth::registry
