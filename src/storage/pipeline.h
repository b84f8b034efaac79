// ChunkPipeline: an archive's uncompressed bytes as chunks, with decompression and hashing each on a thread
// of its own, so that whoever parses and writes files only waits for the slowest of the three.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string_view>
#include <thread>
#include <vector>

#include "base/digest.h"
#include "base/result.h"
#include "base/sha256.h"
#include "storage/tar_reader.h"

namespace berth::storage {

class ChunkPipeline : public ChunkSource {
 public:
  /// Starts reading `plain` (decompressed bytes). It must outlive the pipeline, which joins its threads when
  /// destroyed: a blocked read of the source delays that.
  enum class Checked { No, Yes };
  ChunkPipeline(ByteSource& plain, std::stop_token stop, Checked checked = Checked::No);
  ~ChunkPipeline() override;

  Result<std::string_view> next_chunk() override;
  /// After the last chunk: the digest of all bytes.
  Digest finish();
  /// Where it was wanted, after finish(): the checksum of all bytes (checksum.h).
  uint64_t checksum() const { return crc_; }
  uint64_t bytes() const { return bytes_; }

 private:
  struct Chunk {
    std::vector<char> buffer;
    size_t size = 0;
  };
  void produce();
  void hash();
  Result<size_t> fill(std::vector<char>& buffer);

  ByteSource& plain_;
  std::stop_token stop_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Chunk> chunks_;  ///< a ring
  uint64_t produced_ = 0;
  uint64_t hashed_ = 0;
  uint64_t parsed_ = 0;   ///< chunks that the parser has let go of
  bool holding_ = false;  ///< the parser looks at chunk `parsed_`
  bool ended_ = false;
  bool abandoned_ = false;
  std::optional<Error> error_;
  Sha256 sha_;
  Checked checked_;
  uint64_t crc_ = 0;
  uint64_t bytes_ = 0;
  std::thread producer_;
  std::thread hasher_;
};

}  // namespace berth::storage
