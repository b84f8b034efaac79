// ClientTransfers: blobs that pass between a build and the client that asked for it, for caches in a
// directory of the client's: layers that a step wants, and those that a cache for the client consists of.
// They come and go by requests of their own (docs/extensions.md), under a token that only the build's client
// is told. All of it belongs to the loop thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/digest.h"
#include "base/result.h"
#include "io/sync.h"
#include "io/task.h"
#include "spec/build_cache.h"
#include "storage/image_store.h"

namespace berth::build {

/// The part of one build.
class ClientTransfer {
 public:
  /// Tells the client that a blob is wanted of it.
  using Ask = std::function<void(const spec::Descriptor& blob)>;
  ClientTransfer(storage::ImageStore& images, std::string token, Ask ask)
      : images_(images), token_(std::move(token)), ask_(std::move(ask)), lease_(images.lease()) {}

  const std::string& token() const { return token_; }
  storage::ImageStore& images() { return images_; }

  /// Has the client bring what of a chain is neither unpacked nor among the blobs. The client's words when it
  /// has none.
  io::Task<Result<void>> bring(std::vector<spec::BuildCacheLayer> chain);
  /// Size of a blob that is waited for; none: nobody waits for it.
  std::optional<uint64_t> wanted(const Digest& digest) const;
  /// The blob is in the store, or will not come.
  void answer(const Digest& digest, std::optional<Error> refusal);

  /// Blobs that the client may take from now on until it says that it is done.
  void offer(std::set<Digest> blobs) { offered_ = std::move(blobs); }
  bool is_offered(const Digest& digest) const { return offered_.contains(digest); }
  void taken() { taken_.set(); }
  io::Event::Awaiter wait_until_taken() { return taken_.wait(); }
  storage::Lease& lease() { return lease_; }

 private:
  struct Want {
    uint64_t size = 0;
    io::Event answered = {};
    std::optional<Error> refusal = {};
  };
  io::Task<Result<void>> bring_blob(spec::Descriptor blob);

  storage::ImageStore& images_;
  std::string token_;
  Ask ask_;
  storage::Lease lease_;
  std::map<Digest, std::shared_ptr<Want>> wants_;
  std::set<Digest> offered_;
  io::Event taken_;
};

class ClientTransfers {
 public:
  explicit ClientTransfers(storage::ImageStore& images) : images_(images) {}
  /// Known by its token for as long as somebody holds it.
  std::shared_ptr<ClientTransfer> open(ClientTransfer::Ask ask);
  /// Null: there is none of that token.
  std::shared_ptr<ClientTransfer> find(const std::string& token) const;

 private:
  storage::ImageStore& images_;
  std::map<std::string, std::weak_ptr<ClientTransfer>> open_;
};

}  // namespace berth::build
