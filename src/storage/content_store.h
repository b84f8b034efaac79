// ContentStore: immutable blobs named by their SHA-256 below <root>/blobs/sha256/. A blob becomes visible by
// rename after its bytes are verified and on the disk. Unfinished ingests vanish when the store is opened;
// only partial downloads are kept for a while, so that they go on where a broken line or a crash has left
// them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "base/result.h"
#include "base/sha256.h"
#include "storage/byte_stream.h"
#include "sys/fd.h"
#include "sys/file.h"

namespace berth::storage {

struct BlobInfo {
  Digest digest;
  uint64_t size = 0;
};

/// When an ingest computes its digest. Later spares the writer the time where the digest may not be needed,
/// or where another thread can take it: finish() then reads the file back.
enum class Hashing { WhileWriting, Later };

/// What the bytes of an ingest must turn out to be.
struct ExpectedBlob {
  std::optional<Digest> digest = {};
  std::optional<uint64_t> size = {};  ///< exceeding it ends the ingest at once
};

/// A blob that is being written. Destroyed without commit() it leaves nothing, unless it is resumable.
class Ingest : public ByteSink {
 public:
  ~Ingest() override;
  Ingest(const Ingest&) = delete;
  Ingest& operator=(const Ingest&) = delete;

  Result<void> write(std::string_view bytes) override;
  uint64_t size() const { return size_; }
  /// The file written so far, for reading it back before commit (the caller does not own it).
  int fd() const { return fd_.get(); }
  /// Digest of all bytes; nothing can be written afterwards. Fails only with Hashing::Later, on reading back.
  Result<Digest> finish();
  /// Verifies against what was expected (Corrupt), makes durable, publishes. A blob that exists already wins.
  Result<BlobInfo> commit(sys::Durability durability = sys::Durability::Fsync);
  /// Forgets what has been written, to begin anew.
  Result<void> restart();
  /// Leaves nothing after all (of a resumable ingest whose bytes are of no use).
  void discard();

 private:
  friend class ContentStore;
  enum class Leftover { Remove, Keep };
  Ingest(std::string blobs, std::string path, sys::UniqueFd fd, ExpectedBlob expected, Hashing hashing);
  std::string blobs_;
  std::string path_;
  sys::UniqueFd fd_;
  ExpectedBlob expected_;
  Sha256 hash_;
  Hashing hashing_;
  Leftover leftover_ = Leftover::Remove;
  std::optional<Digest> digest_;
  uint64_t size_ = 0;
};

class ContentStore {
 public:
  /// `root` is data-root/content; made when missing. Removes left-over ingests.
  static Result<ContentStore> open(const std::string& root);

  Result<std::unique_ptr<Ingest>> begin(ExpectedBlob expected = {},
                                        Hashing hashing = Hashing::WhileWriting) const;
  /// A download: goes on with the bytes that an earlier one has left (size() tells how many), and leaves its
  /// own when destroyed. `expected` names digest and size. In use by another ingest: Unavailable.
  Result<std::unique_ptr<Ingest>> resume(ExpectedBlob expected) const;
  /// Removes what interrupted downloads have left and nobody goes on with.
  Result<void> remove_partials() const;
  /// Small documents: writes and publishes.
  Result<BlobInfo> put(std::string_view bytes, sys::Durability durability = sys::Durability::Fsync) const;
  Result<sys::UniqueFd> open_blob(const Digest& digest) const;
  /// Whole content, verified. Larger than max_bytes: Exhausted; altered on disk: Corrupt.
  Result<std::string> read(const Digest& digest, size_t max_bytes) const;
  Result<uint64_t> size(const Digest& digest) const;
  bool contains(const Digest& digest) const;
  /// Missing: no error.
  Result<void> remove(const Digest& digest) const;
  Result<std::vector<BlobInfo>> list() const;
  std::string blob_path(const Digest& digest) const;
  /// Allocated bytes, as du counts them.
  Result<uint64_t> disk_usage() const;

 private:
  explicit ContentStore(std::string root) : root_(std::move(root)) {}
  std::string root_;
};

}  // namespace berth::storage
