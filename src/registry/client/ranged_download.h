// RangedDownload: the rest of a blob by several requests at a time, each for a range of its own, given back
// in order. For registries that limit each connection; where one line is fast, one line is better
// (blob_transfer.h decides). Parts that arrive before their turn wait on the disk (storage/download_parts.h).
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>
#include <vector>

#include "base/digest.h"
#include "base/result.h"
#include "registry/client/session.h"
#include "storage/byte_stream.h"
#include "storage/download_parts.h"

namespace berth::registry {

class RangedDownload : public storage::ByteSource {
 public:
  struct Goal {
    std::string target;  ///< "v2/<repository>/blobs/<digest>"
    Digest digest;
    uint64_t from = 0;   ///< what the blob's partial file has already
    uint64_t total = 0;  ///< the blob's size
    uint64_t part_size = 0;
    unsigned lines = 1;          ///< requests at a time
    unsigned most_attempts = 5;  ///< in a row that bring nothing
  };
  /// Makes a conversation of one thread's own.
  using OpenSession = std::function<std::unique_ptr<Session>(std::stop_token)>;

  /// Begins at once, with what earlier downloads have left.
  static Result<std::unique_ptr<RangedDownload>> start(const storage::ContentStore& content, Goal goal,
                                                       OpenSession open_session);
  /// Ends all requests; what has come stays on the disk.
  ~RangedDownload() override;
  RangedDownload(const RangedDownload&) = delete;

  /// The next bytes in order; 0 at the blob's end. An error when a line has given up and nothing more can be
  /// had in order: Unavailable when nobody answers, Unsupported or Corrupt when the answers are no such
  /// ranges. One thread at a time.
  Result<size_t> read(std::span<char> buffer) override;
  /// Wakes a waiting read(), which then says Cancelled.
  void stop();
  /// Bytes that are here and have not been read yet.
  uint64_t ahead() const;

 private:
  class Sink;
  struct Part {
    storage::PartPlan plan;
    std::optional<storage::PartFile> file;  ///< there as soon as the part has bytes
    bool taken = false;                     ///< by a line
  };

  RangedDownload(const storage::ContentStore& content, Goal goal, OpenSession open_session);
  Result<void> open(Part& part) const;
  void work();
  Part* take_part();
  Result<void> fetch(Session& session, Part& part);
  void give_up(Error error);

  const storage::ContentStore& content_;
  Goal goal_;
  OpenSession open_session_;
  std::stop_source stop_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Part> parts_;
  size_t next_ = 0;        ///< the part that read() is in
  uint64_t position_ = 0;  ///< in the blob, of the next byte to read
  uint64_t received_ = 0;  ///< bytes of all parts that are here, or were read
  std::optional<Error> error_;
  std::vector<std::jthread> lines_;
};

}  // namespace berth::registry
