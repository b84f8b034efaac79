// Content: blobs that records of the history name, for clients that look into them. Nothing can be written.
#include <content.grpc.pb.h>
#include "apps/buildkit/services.h"

namespace berth::buildkit {
namespace {

namespace pb = containerd::services::content::v1;
using grpc::ServerContext;

constexpr size_t max_piece = size_t{1} << 20;

class ContentService final : public pb::Content::Service {
 public:
  explicit ContentService(Services services) : services_(services) {}

  grpc::Status Info(ServerContext*, const pb::InfoRequest* request, pb::InfoResponse* answer) override {
    const auto blob = find(request->digest());
    if (!blob) return to_status(blob.error());
    answer->mutable_info()->set_digest(request->digest());
    answer->mutable_info()->set_size(static_cast<int64_t>(blob->size()));
    return grpc::Status::OK;
  }

  grpc::Status Read(ServerContext*, const pb::ReadContentRequest* request,
                    grpc::ServerWriter<pb::ReadContentResponse>* writer) override {
    const auto blob = find(request->digest());
    if (!blob) return to_status(blob.error());
    const auto size = static_cast<int64_t>(blob->size());
    if (request->offset() < 0 || request->size() < 0 || request->offset() > size)
      return {grpc::OUT_OF_RANGE, "the range is outside of the content"};
    auto at = static_cast<size_t>(request->offset());
    const int64_t left = size - request->offset();
    const int64_t wanted = request->size() == 0 ? left : std::min(request->size(), left);
    const size_t end = at + static_cast<size_t>(wanted);
    for (; at < end;) {
      const size_t count = std::min(max_piece, end - at);
      pb::ReadContentResponse piece;
      piece.set_offset(static_cast<int64_t>(at));
      piece.set_data(blob->data() + at, count);
      if (!writer->Write(piece)) return grpc::Status::CANCELLED;
      at += count;
    }
    return grpc::Status::OK;
  }

 private:
  Result<std::string> find(const std::string& text) const {
    TRY(const Digest digest, Digest::parse(text));
    return services_.history.blob(digest);
  }

  Services services_;
};

}  // namespace

std::unique_ptr<grpc::Service> make_content_service(Services services) {
  return std::make_unique<ContentService>(services);
}

}  // namespace berth::buildkit
