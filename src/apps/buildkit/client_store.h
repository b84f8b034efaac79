// ClientStore: a content store in a directory of the client's, which its session offers: blobs by their
// digests. What is read is hostile, and is verified by whoever knows what it should be.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "apps/buildkit/session.h"
#include "base/digest.h"
#include "base/result.h"

namespace berth::buildkit {

class ClientStore {
 public:
  /// `id` is the client's name for the store: "local:/path".
  ClientStore(std::shared_ptr<Session> session, std::string id)
      : session_(std::move(session)), id_(std::move(id)) {}

  const std::string& id() const { return id_; }

  /// A document of at most `max_bytes`, verified.
  Result<std::string> read(const Digest& digest, size_t max_bytes) const;
  /// A blob piece by piece.
  Result<void> read(const Digest& digest, const std::function<Result<void>(std::string_view)>& write,
                    const Cancelled& cancelled) const;
  bool contains(const Digest& digest) const;
  /// `read` gives the blob piece by piece, empty at the end. One that is there already is left alone.
  Result<void> write(const Digest& digest, int64_t size,
                     const std::function<Result<std::string>()>& read) const;
  Result<void> write(const Digest& digest, std::string_view bytes) const;

 private:
  std::shared_ptr<Session> session_;
  std::string id_;
};

}  // namespace berth::buildkit
