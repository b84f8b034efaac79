// ByteSource and ByteSink: the two ends of every transfer in storage. Synchronous and pull-based; a source or
// sink is used by one thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/sha256.h"
#include "sys/fd.h"

namespace berth::storage {

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  /// Up to buffer.size() bytes; 0 is the end.
  virtual Result<size_t> read(std::span<char> buffer) = 0;
};

class ByteSink {
 public:
  virtual ~ByteSink() = default;
  virtual Result<void> write(std::string_view bytes) = 0;
};

/// Reads a descriptor (file, pipe, socket) that the caller keeps open. A stop request ends a read between two
/// chunks with Cancelled; to wake a blocked read the owner closes the peer.
class FdSource : public ByteSource {
 public:
  explicit FdSource(int fd, std::stop_token stop = {}) : fd_(fd), stop_(std::move(stop)) {}
  Result<size_t> read(std::span<char> buffer) override;

 private:
  int fd_;
  std::stop_token stop_;
};

/// A part of a file by offset, independent of the file position; may own the descriptor.
class FileSource : public ByteSource {
 public:
  FileSource(sys::UniqueFd fd, uint64_t offset, uint64_t length)
      : owned_(std::move(fd)), fd_(owned_.get()), offset_(offset), left_(length) {}
  FileSource(int fd, uint64_t offset, uint64_t length) : fd_(fd), offset_(offset), left_(length) {}
  /// From the start to the end.
  static Result<std::unique_ptr<FileSource>> whole(sys::UniqueFd fd);
  Result<size_t> read(std::span<char> buffer) override;

 private:
  sys::UniqueFd owned_;
  int fd_;
  uint64_t offset_;
  uint64_t left_;
};

class StringSource : public ByteSource {
 public:
  explicit StringSource(std::string_view bytes) : bytes_(bytes) {}
  Result<size_t> read(std::span<char> buffer) override;

 private:
  std::string_view bytes_;
};

class FdSink : public ByteSink {
 public:
  explicit FdSink(int fd) : fd_(fd) {}
  Result<void> write(std::string_view bytes) override;

 private:
  int fd_;
};

class StringSink : public ByteSink {
 public:
  Result<void> write(std::string_view bytes) override {
    text.append(bytes);
    return {};
  }
  std::string text;
};

/// Forwards and hashes; `next` may be null to hash only.
class HashingSink : public ByteSink {
 public:
  explicit HashingSink(ByteSink* next) : next_(next) {}
  Result<void> write(std::string_view bytes) override;
  uint64_t size() const { return size_; }
  Digest finish() { return hash_.finish(); }

 private:
  ByteSink* next_;
  Sha256 hash_;
  uint64_t size_ = 0;
};

/// Everything from source to sink; returns the count.
Result<uint64_t> copy_stream(ByteSource& from, ByteSink& to, std::stop_token stop = {});
/// Everything into memory; beyond `max_bytes`: Exhausted.
Result<std::string> read_all(ByteSource& from, size_t max_bytes);

}  // namespace berth::storage
