#include "apps/buildkit/client_store.h"

#include <grpcpp/client_context.h>

#include <chrono>

#include <content.grpc.pb.h>
#include "base/format.h"
#include "base/sha256.h"

namespace berth::buildkit {
namespace {

namespace pb = containerd::services::content::v1;

/// Clients take messages of 4 MiB at most.
constexpr size_t max_chunk = size_t{1} << 20;
constexpr auto answer_time = std::chrono::seconds(30);

void choose(grpc::ClientContext& context, const std::string& store) {
  context.AddMetadata("buildkit-attachable-store-id", store);
}

class Writer {
 public:
  Writer(pb::Content::Stub& stub, grpc::ClientContext& context, const Digest& digest, int64_t size)
      : stream_(stub.Write(&context)), digest_(digest.str()), size_(size) {}

  /// False: the client has ended the stream, and finish() tells why.
  bool send(pb::WriteAction action, std::string data = {}) {
    pb::WriteContentRequest request;
    request.set_action(action);
    if (!begun_) request.set_ref("berth-" + digest_);
    begun_ = true;
    request.set_total(size_);
    // Named with the first and the last message: a blob that is there already ends the stream then.
    if (action != pb::WRITE) request.set_expected(digest_);
    request.set_offset(offset_);
    offset_ += static_cast<int64_t>(data.size());
    request.set_data(std::move(data));
    pb::WriteContentResponse answer;
    return stream_->Write(request) && stream_->Read(&answer);
  }
  grpc::Status finish() {
    stream_->WritesDone();
    pb::WriteContentResponse answer;
    while (stream_->Read(&answer)) {
    }
    return stream_->Finish();
  }

 private:
  std::unique_ptr<grpc::ClientReaderWriter<pb::WriteContentRequest, pb::WriteContentResponse>> stream_;
  std::string digest_;
  int64_t size_;
  int64_t offset_ = 0;
  bool begun_ = false;
};

}  // namespace

bool ClientStore::contains(const Digest& digest) const {
  auto stub = pb::Content::NewStub(session_->channel());
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + answer_time);
  choose(context, id_);
  pb::InfoRequest request;
  request.set_digest(digest.str());
  pb::InfoResponse answer;
  return stub->Info(&context, request, &answer).ok();
}

Result<void> ClientStore::read(const Digest& digest,
                               const std::function<Result<void>(std::string_view)>& write,
                               const Cancelled& cancelled) const {
  auto stub = pb::Content::NewStub(session_->channel());
  grpc::ClientContext context;
  choose(context, id_);
  pb::ReadContentRequest request;
  request.set_digest(digest.str());
  auto stream = stub->Read(&context, request);
  pb::ReadContentResponse message;
  while (stream->Read(&message)) {
    auto written =
        cancelled() ? Result<void>(Error(Kind::Cancelled, "build cancelled")) : write(message.data());
    if (written) continue;
    context.TryCancel();
    stream->Finish();
    return written;
  }
  auto status = stream->Finish();
  if (!status.ok()) {
    return to_error(fmt::format("reading {} of {}", digest.str(), id_), status.error_code(),
                    status.error_message());
  }
  return {};
}

Result<std::string> ClientStore::read(const Digest& digest, size_t max_bytes) const {
  std::string bytes;
  auto keep = [&](std::string_view piece) -> Result<void> {
    if (bytes.size() + piece.size() > max_bytes)
      return failure(Kind::Exhausted, "{} of {} is larger than {} bytes", digest.str(), id_, max_bytes);
    bytes.append(piece);
    return {};
  };
  CHECK(read(digest, keep, [] { return false; }));
  if (sha256(bytes) != digest)
    return failure(Kind::Corrupt, "{} of {} is not what its digest says", digest.str(), id_);
  return bytes;
}

Result<void> ClientStore::write(const Digest& digest, int64_t size,
                                const std::function<Result<std::string>()>& read) const {
  auto stub = pb::Content::NewStub(session_->channel());
  grpc::ClientContext context;
  choose(context, id_);
  Writer writer(*stub, context, digest, size);
  bool open = writer.send(pb::STAT);
  while (open) {
    auto piece = read();
    if (!piece) {
      context.TryCancel();
      writer.finish();
      return std::move(piece).error();
    }
    if (piece->empty()) break;
    for (size_t at = 0; open && at < piece->size(); at += max_chunk)
      open = writer.send(pb::WRITE, piece->substr(at, max_chunk));
  }
  if (open) writer.send(pb::COMMIT);
  auto status = writer.finish();
  if (status.ok() || status.error_code() == grpc::ALREADY_EXISTS) return {};
  return to_error(fmt::format("writing {} to {}", digest.str(), id_), status.error_code(),
                  status.error_message());
}

Result<void> ClientStore::write(const Digest& digest, std::string_view bytes) const {
  bool given = false;
  auto read = [&]() -> Result<std::string> {
    return std::exchange(given, true) ? std::string() : std::string(bytes);
  };
  return write(digest, static_cast<int64_t>(bytes.size()), read);
}

}  // namespace berth::buildkit
