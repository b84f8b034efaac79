// The layers of an image that is pulled: several at a time are unpacked while they arrive.
#include <algorithm>
#include <atomic>
#include <thread>

#include "base/format.h"
#include "base/sha256.h"
#include "registry/client/pull.h"
#include "storage/compression.h"

namespace berth::registry {
namespace {

constexpr auto report_every = std::chrono::milliseconds(100);
/// Layers that are unpacked at a time. Each takes some 3 MiB of buffers.
constexpr size_t unpacked_at_once = 4;

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
    CHECK(storage::copy_stream(*plain, hash, layers_stop_.get_token()));
    if (hash.finish() == work.diff_id) return {};
    return failure(Kind::Corrupt, "layer is damaged: {} is not what the image's configuration says",
                   work.descriptor.digest.str());
  };
  auto reader = work.transfer->reader(layers_stop_.get_token());
  auto right = verify(*reader);
  CHECK(work.transfer->wait(layers_stop_.get_token()));
  if (!right) work.transfer->discard();
  CHECK(std::move(right));
  CHECK(work.transfer->commit());
  return state_.images.snapshotter().set_blob(work.chain_id,
                                              {.digest = work.descriptor.digest,
                                               .media_type = work.descriptor.media_type,
                                               .size = static_cast<uint64_t>(work.descriptor.size)},
                                              sys::Durability::None);
}

/// Whether the layer beneath is here. A layer that is unpacked needs it at the end only, and seldom before.
bool Pull::has_parent(const LayerWork& work) const {
  return !work.parent || state_.images.snapshotter().has_layer(*work.parent);
}

/// The layer beneath is unpacked by another thread of this pull, which never waits for this one.
Result<void> Pull::wait_for_parent(const LayerWork& work) {
  std::unique_lock lock(layers_mutex_);
  if (layer_done_.wait(lock, layers_stop_.get_token(), [&] { return has_parent(work); })) return {};
  return Error(Kind::Cancelled, "context canceled");
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
  return finish_layers(missing);
}

Result<void> Pull::finish_layers(const std::vector<LayerWork*>& missing) {
  std::stop_callback pass_on(stop_, [this] { layers_stop_.request_stop(); });
  std::atomic<size_t> next{0};
  std::optional<Error> first_error;
  auto worker = [&] {
    // In order, from the lowest: whom a layer waits for has been begun before it.
    for (size_t i = next++; i < missing.size() && !layers_stop_.stop_requested(); i = next++) {
      LayerWork& work = *missing[i];
      auto done = work.unpacked ? keep_blob(work) : unpack(work);
      if (done) {
        tell(work.descriptor.digest.short_hex(), "Pull complete");
        work.transfer.reset();
      }
      {
        std::lock_guard lock(layers_mutex_);
        if (!done && !first_error) first_error = std::move(done).error();
      }
      if (!done) layers_stop_.request_stop();
      layer_done_.notify_all();
    }
  };
  {
    std::vector<std::jthread> pool;
    for (size_t i = 1; i < std::min(missing.size(), unpacked_at_once); ++i) pool.emplace_back(worker);
    worker();
  }
  if (first_error) return std::move(*first_error);
  if (stop_.stop_requested()) return Error(Kind::Cancelled, "context canceled");
  return {};
}

/// Bytes that are in the store already; false: they are not, or are damaged and have been removed.
Result<bool> Pull::unpack_kept_blob(LayerWork& work) {
  auto file = state_.images.content().open_blob(work.descriptor.digest);
  if (!file) return false;
  CHECK(wait_for_parent(work));
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
    bool parent_was_here = has_parent(work);
    auto reader = work.transfer->reader(layers_stop_.get_token());
    auto unpacked = unpack_from(work, *reader);
    // It leads into the layers beneath: once more, when they are there.
    if (!unpacked && unpacked.error().kind() == Kind::WrongState && !parent_was_here) {
      CHECK(wait_for_parent(work));
      reader = work.transfer->reader(layers_stop_.get_token());
      unpacked = unpack_from(work, *reader);
    }
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
        auto whole = work.transfer->wait(layers_stop_.get_token());
        work.transfer->discard();
        if (!whole) return whole;
      }
      return unpacked;
    }
    (void)work.transfer->wait(layers_stop_.get_token());
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
  storage::Snapshotter::UnpackRequest request{
      .parent = work.parent, .diff_id = work.diff_id, .stop = layers_stop_.get_token()};
  if (storage::detect_compression(head) != storage::Compression::None)
    request.keep = storage::Snapshotter::UnpackRequest::Keep::Always;
  else
    CHECK(wait_for_parent(work));
  storage::LayerBlob blob{
      .digest = work.descriptor.digest, .media_type = work.descriptor.media_type, .size = total};
  if (transfer == nullptr) {
    if (request.keep == storage::Snapshotter::UnpackRequest::Keep::Always) request.blob = blob;
    request.keep_archive = [blob]() -> Result<storage::LayerBlob> { return blob; };
  } else {
    request.keep_archive = [this, &work, transfer, blob]() -> Result<storage::LayerBlob> {
      CHECK(transfer->wait(layers_stop_.get_token()));
      // What comes of a crash until then is a download to go on with, and not a blob that nobody refers to.
      CHECK(wait_for_parent(work));
      CHECK(transfer->commit());
      return blob;
    };
  }
  CHECK(state_.images.snapshotter().unpack(counted, request));
  return {};
}

}  // namespace berth::registry
