// Layers that were born here: compressed and sent at once.
#include <chrono>
#include <thread>

#include "registry/client/growing_file.h"
#include "registry/client/push.h"
#include "storage/background_sink.h"
#include "storage/compression.h"
#include "sys/file.h"

namespace berth::registry {
namespace {

constexpr auto kReportEvery = std::chrono::milliseconds(100);

/// Reports what has been written.
class CountedSink : public storage::ByteSink {
 public:
  CountedSink(storage::ByteSink& sink, std::function<void(uint64_t)> report)
      : sink_(sink), report_(std::move(report)) {}
  Result<void> write(std::string_view bytes) override {
    CHECK(sink_.write(bytes));
    current_ += bytes.size();
    auto now = std::chrono::steady_clock::now();
    if (now - told_ >= kReportEvery) {
      told_ = now;
      report_(current_);
    }
    return {};
  }

 private:
  storage::ByteSink& sink_;
  std::function<void(uint64_t)> report_;
  uint64_t current_ = 0;
  std::chrono::steady_clock::time_point told_{};
};

/// Tells a growing file of what is written.
class GrowingSink : public storage::ByteSink {
 public:
  GrowingSink(storage::Ingest& ingest, GrowingFile& growing) : ingest_(ingest), growing_(growing) {}
  Result<void> write(std::string_view bytes) override {
    CHECK(ingest_.write(bytes));
    growing_.grow(ingest_.size());
    return {};
  }

 private:
  storage::Ingest& ingest_;
  GrowingFile& growing_;
};

}  // namespace

/// A layer that was born here goes to the registry while it is compressed. Where that does not work, its blob
/// is sent like any other when it is complete.
Result<void> Push::send_new(Repository& repository, const storage::Layer& layer, const std::string& id) {
  GrowingFile growing;
  std::string next;
  auto start = repository.start_upload(std::nullopt, "");
  std::jthread sender;
  if (start) {
    sender = std::jthread([&] {
      GrowingFile::Reader reader(growing, stop_.get_token());
      if (auto sent = repository.send_stream(start->location, reader)) next = *sent;
    });
  }
  auto compressed = compress(layer, id, growing);
  growing.abandon();  // unless it is complete
  if (!compressed) {
    if (sender.joinable()) sender.join();
    return std::move(compressed).error();
  }
  const storage::LayerBlob& blob = *compressed;
  if (sender.joinable()) sender.join();
  auto sent = next.empty() ? Result<void>(Error(Kind::Unavailable, "the line broke"))
                           : repository.finish_upload(next, blob.digest);
  if (sent)
    tell(id, "Pushed");
  else
    sent = send_rest(repository, blob, start ? start->location : std::string(), id);
  // It goes to the disk later: now the registry needs the disk, when it is on this machine.
  CHECK(state_.images.snapshotter().set_blob(layer.chain_id, blob, sys::Durability::None));
  return sent;
}

/// Of a blob whose first bytes the registry may have under `location`.
Result<void> Push::send_rest(Repository& repository, const storage::LayerBlob& blob,
                             const std::string& location, const std::string& id) {
  bool stopped = stop_.stop_requested();
  Result<Repository::UploadState> state = Error(Kind::NotFound, "no upload");
  if (!location.empty() && !stopped) state = repository.upload_state(location);
  if (!state || state->offset == 0 || state->offset > blob.size) return send_blob(repository, blob, id);
  lease_.add_blob(blob.digest);
  CHECK(upload(repository, blob.digest, blob.size, state->location, id, state->offset));
  tell(id, "Pushed");
  return {};
}

/// Made once, and kept: the next push sends the same bytes.
Result<storage::LayerBlob> Push::compress(const storage::Layer& layer, const std::string& id,
                                          GrowingFile& growing) {
  storage::Snapshotter& snapshotter = state_.images.snapshotter();
  // Another push may have made it meanwhile.
  TRY(storage::Layer current, snapshotter.layer(layer.chain_id));
  if (current.blob) return *current.blob;
  TRY(auto ingest, state_.images.content().begin());
  CHECK(growing.begin(ingest->fd()));
  GrowingSink seen(*ingest, growing);
  // Reading, compressing and hashing each have a thread: on one, no processor beside it would be of use.
  storage::BackgroundSink hashed(seen);
  TRY(auto compressor, storage::compress(hashed, storage::Compression::Gzip));
  storage::BackgroundSink background(*compressor);
  CountedSink counted(background, [&](uint64_t done) { tell(id, "Pushing", done, layer.tar_size); });
  CHECK(snapshotter.write_layer_tar(layer.chain_id, counted, stop_.get_token(),
                                    storage::Snapshotter::Proof::Checksum));
  CHECK(background.finish());
  CHECK(compressor->finish());
  CHECK(hashed.finish());
  growing.end();
  TRY(Digest digest, ingest->finish());
  lease_.add_blob(digest);
  TRY(storage::BlobInfo info, ingest->commit(sys::Durability::None));
  return storage::LayerBlob{
      .digest = info.digest, .media_type = std::string(spec::media_type::oci_layer_gzip), .size = info.size};
}

}  // namespace berth::registry
