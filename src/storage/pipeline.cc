// The ring of chunks and its three parties.
#include "storage/pipeline.h"

#include <algorithm>

#include "storage/checksum.h"

namespace berth::storage {
namespace {
constexpr size_t ring_size = 8;
constexpr size_t chunk_size = 256 * 1024;
}  // namespace

ChunkPipeline::ChunkPipeline(ByteSource& plain, std::stop_token stop, Checked checked)
    : plain_(plain), stop_(std::move(stop)), chunks_(ring_size), checked_(checked) {
  producer_ = std::thread([this] { produce(); });
  hasher_ = std::thread([this] { hash(); });
}

ChunkPipeline::~ChunkPipeline() {
  {
    std::lock_guard lock(mutex_);
    abandoned_ = true;
  }
  changed_.notify_all();
  if (producer_.joinable()) producer_.join();
  if (hasher_.joinable()) hasher_.join();
}

/// Fills the buffer as far as the source goes.
Result<size_t> ChunkPipeline::fill(std::vector<char>& buffer) {
  if (buffer.empty()) buffer.resize(chunk_size);
  size_t used = 0;
  while (used < buffer.size()) {
    if (stop_.stop_requested()) return Error(Kind::Cancelled, "cancelled");
    TRY(size_t count, plain_.read(std::span(buffer.data() + used, buffer.size() - used)));
    if (count == 0) break;
    used += count;
  }
  return used;
}

void ChunkPipeline::produce() {
  while (true) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return abandoned_ || produced_ - std::min(hashed_, parsed_) < ring_size; });
      if (abandoned_) return;
    }
    Chunk& chunk = chunks_[produced_ % ring_size];
    auto filled = fill(chunk.buffer);
    std::lock_guard lock(mutex_);
    if (!filled) error_ = std::move(filled).error();
    chunk.size = filled ? *filled : 0;
    ended_ = chunk.size == 0;
    if (!ended_) ++produced_;
    bytes_ += chunk.size;
    changed_.notify_all();
    if (ended_) return;
  }
}

void ChunkPipeline::hash() {
  while (true) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return abandoned_ || ended_ || produced_ > hashed_; });
      if (abandoned_ || produced_ == hashed_) return;
    }
    const Chunk& chunk = chunks_[hashed_ % ring_size];
    std::string_view bytes(chunk.buffer.data(), chunk.size);
    sha_.update(bytes);
    if (checked_ == Checked::Yes) crc_ = crc64(crc_, bytes);
    std::lock_guard lock(mutex_);
    ++hashed_;
    changed_.notify_all();
  }
}

Result<std::string_view> ChunkPipeline::next_chunk() {
  std::unique_lock lock(mutex_);
  if (holding_) {
    holding_ = false;
    ++parsed_;
    changed_.notify_all();
  }
  changed_.wait(lock, [&] { return ended_ || produced_ > parsed_; });
  if (produced_ > parsed_) {
    holding_ = true;
    const Chunk& chunk = chunks_[parsed_ % ring_size];
    return std::string_view(chunk.buffer.data(), chunk.size);
  }
  if (error_) return *error_;
  return std::string_view();
}

Digest ChunkPipeline::finish() {
  producer_.join();
  hasher_.join();
  return sha_.finish();
}

}  // namespace berth::storage
