// BlobTransfer: one blob on its way from a registry to the content store, on a thread of its own. Readers
// follow the file while it grows, so that a layer is unpacked while it arrives; the end of the file is theirs
// only once the digest is verified. Broken lines are resumed, also those of an engine that is no more. Large
// blobs come by several lines at a time where one is slow (ranged_download.h).
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "base/digest.h"
#include "base/result.h"
#include "registry/client/credentials.h"
#include "registry/client/session.h"
#include "spec/image.h"
#include "storage/content_store.h"

namespace berth::registry {

/// A bounded number of transfers at a time, in the order of asking.
class TransferSlots {
 public:
  explicit TransferSlots(unsigned count) : free_(count) {}
  /// False when stopped first. `waiting` is called when it is not at once.
  bool take(const std::stop_token& stop, const std::function<void()>& waiting);
  void give_back();

 private:
  std::mutex mutex_;
  std::condition_variable_any changed_;
  unsigned free_;
  uint64_t next_ticket_ = 0;
  uint64_t served_ = 0;
  std::map<uint64_t, bool> left_;  ///< tickets whose owners have gone
};

/// Where a blob may be had: endpoints of the same repository, best first.
struct BlobOrigin {
  Surroundings surroundings;
  std::vector<Endpoint> endpoints;
  std::string repository;
  Credentials credentials;
};

struct BlobEvent {
  enum class Kind { Waiting, Downloading, Retrying, Verifying, Complete } kind;
  uint64_t current = 0;  ///< bytes; of Retrying: seconds
  uint64_t total = 0;
};
using BlobListener = std::function<void(const BlobEvent&)>;

class BlobTransfer {
 public:
  BlobTransfer(storage::ContentStore& content, TransferSlots& slots, BlobOrigin origin,
               spec::Descriptor descriptor);
  /// Stops it when it is under way.
  ~BlobTransfer();
  BlobTransfer(const BlobTransfer&) = delete;

  void start();
  /// Events from now on; held weakly.
  void listen(const std::shared_ptr<BlobListener>& listener);
  /// The bytes from the first on. Must not outlive the transfer.
  std::unique_ptr<storage::ByteSource> reader(std::stop_token stop);
  /// Waits until all bytes are there and verified.
  Result<void> wait(const std::stop_token& stop);
  /// Publishes the blob, whose transfer has ended. Once for all who share it.
  Result<storage::BlobInfo> commit();
  /// The bytes are not needed: nothing stays on the disk.
  void discard();

  bool failed() const;
  bool complete() const;
  /// Began with bytes that an earlier transfer had left.
  bool was_resumed() const;
  const spec::Descriptor& descriptor() const { return descriptor_; }

 private:
  class Follower;
  class Sink;
  enum class State { Running, Verified, Failed };

  void run(const std::stop_token& stop);
  Result<void> transfer(const std::stop_token& stop);
  Result<void> open_file(const std::stop_token& stop);
  Result<void> download(const std::stop_token& stop);
  /// One request; true when all bytes are there.
  Result<bool> attempt(Session& session, HttpOutcome& outcome);
  /// `end`: only bytes before it; 0: all that are left.
  HttpOutcome request(Session& session, Sink& sink, uint64_t end);
  Result<void> download_ranges(size_t endpoint, const std::stop_token& stop);
  Result<void> read_ranges(size_t endpoint, const std::stop_token& stop);
  bool can_have_ranges() const;
  bool is_worth_ranges() const;
  std::string target() const;
  Result<void> verify();
  void tell(BlobEvent event);
  /// `ahead`: bytes that are here beyond a gap.
  void grown(uint64_t size, uint64_t ahead = 0);

  storage::ContentStore& content_;
  TransferSlots& slots_;
  BlobOrigin origin_;
  spec::Descriptor descriptor_;
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  State state_ = State::Running;
  std::optional<Error> error_;
  std::unique_ptr<storage::Ingest> ingest_;
  std::optional<storage::BlobInfo> committed_;
  uint64_t size_ = 0;  ///< bytes that readers may have
  bool resumed_ = false;
  // Of the transfer's own thread:
  bool has_parts_ = false;     ///< an earlier transfer has left parts
  bool no_ranges_ = false;     ///< several lines have failed where one may not
  bool line_is_slow_ = false;  ///< and ranges are answered
  uint64_t range_ = 4u << 20;  ///< bytes that the next request asks for
  std::chrono::steady_clock::time_point told_{};
  std::vector<std::weak_ptr<BlobListener>> listeners_;
  std::jthread thread_;
};

/// One transfer for a blob, however many ask.
class BlobFetcher {
 public:
  BlobFetcher(storage::ContentStore& content, unsigned slots) : content_(content), slots_(slots) {}
  std::shared_ptr<BlobTransfer> fetch(const BlobOrigin& origin, const spec::Descriptor& descriptor);

 private:
  storage::ContentStore& content_;
  TransferSlots slots_;
  std::mutex mutex_;
  std::map<Digest, std::weak_ptr<BlobTransfer>> transfers_;
};

}  // namespace berth::registry
