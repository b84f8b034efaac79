// An index with everything that it leads to: manifests first, then configurations and layers, several at a
// time, into the content store. What is to be unpacked is unpacked from there.
#include <algorithm>

#include "base/format.h"
#include "registry/client/pull.h"
#include "storage/index_store.h"

namespace berth::registry {

Result<void> Pull::fetch_index() {
  storage::IndexDocument top{.descriptor = {.media_type = index_->media_type,
                                            .digest = index_->digest,
                                            .size = static_cast<int64_t>(index_->bytes.size())},
                             .bytes = index_->bytes};
  std::optional<storage::IndexClosure> closure;
  auto use = [&](Repository& repository) -> Result<void> {
    auto read = [&](const spec::Descriptor& wanted) -> Result<std::string> {
      TRY(RemoteManifest manifest, repository.get_manifest(wanted.digest.str(), wanted.digest));
      return std::move(manifest.bytes);
    };
    auto walked = storage::walk_index(top, read);
    if (!walked) return std::move(walked).error().in("pull all platforms of", reference_.familiar_string());
    closure = std::move(*walked);
    return {};
  };
  CHECK(on_some_endpoint(state_, endpoints_, reference_, request_.credentials, Access::Pull, stop_, use));
  for (const storage::IndexDocument& document : closure->documents) {
    lease_.add_blob(document.descriptor.digest);
    CHECK(state_.images.content().put(document.bytes));
  }
  CHECK(fetch_index_blobs(*closure));
  closure_ = std::move(closure);
  return {};
}

Result<void> Pull::fetch_index_blobs(const storage::IndexClosure& closure) {
  storage::ContentStore& content = state_.images.content();
  // A few are asked for ahead; the fetcher holds how many run.
  constexpr size_t most_ahead = 8;
  std::vector<LayerWork> under_way;
  auto finish_first = [&]() -> Result<void> {
    LayerWork& work = under_way.front();
    CHECK(work.transfer->wait(stop_));
    CHECK(work.transfer->commit());
    // No layer is unpacked of it whose sync would carry it along.
    TRY(sys::UniqueFd file, content.open_blob(work.descriptor.digest));
    CHECK(sys::fsync_fd(file.get()));
    tell(work.descriptor.digest.short_hex(), "Pull complete");
    under_way.erase(under_way.begin());
    return {};
  };
  for (const spec::Descriptor& blob : closure.blobs) {
    lease_.add_blob(blob.digest);
    if (content.contains(blob.digest)) {
      tell(blob.digest.short_hex(), "Already exists");
      continue;
    }
    tell(blob.digest.short_hex(), "Pulling fs layer");
    LayerWork work{
        .descriptor = blob, .diff_id = blob.digest, .chain_id = blob.digest, .parent = std::nullopt};
    start_transfer(work);
    under_way.push_back(std::move(work));
    if (under_way.size() >= most_ahead) CHECK(finish_first());
  }
  while (!under_way.empty()) CHECK(finish_first());
  return {};
}

}  // namespace berth::registry
