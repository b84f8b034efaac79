// The tar recipe of a layer: everything of its tar stream that is not file content, plus references to the
// files that hold the content. With the unpacked tree it gives the very same bytes back, so that a layer that
// came as a plain tar, or was born here, need not be stored twice.
//
// Format: "berthtar1\n", then records: 'L' varint(length) bytes | 'F' varint(path length) path varint(offset)
// varint(length). Stored zstd-compressed by the snapshotter.
#pragma once

#include <cstdint>
#include <stop_token>
#include <string>
#include <string_view>

#include "base/result.h"
#include "storage/byte_stream.h"
#include "sys/root_dir.h"

namespace berth::storage {

class RecipeWriter {
 public:
  explicit RecipeWriter(ByteSink& sink) : sink_(sink) {}
  /// Bytes of the archive itself.
  Result<void> literal(std::string_view bytes);
  /// `length` bytes that stand in the tree's file `path` from `offset` on.
  Result<void> content(std::string_view path, uint64_t offset, uint64_t length);
  Result<void> finish();

 private:
  Result<void> flush_literal();
  Result<void> flush_content();
  ByteSink& sink_;
  bool started_ = false;
  std::string literal_;
  std::string path_;
  uint64_t offset_ = 0;
  uint64_t length_ = 0;
};

/// Writes the archive that the recipe and the tree make up. A file that is shorter than recorded: Corrupt.
Result<void> replay_recipe(ByteSource& recipe, const sys::RootDir& tree, ByteSink& out,
                           std::stop_token stop = {});

}  // namespace berth::storage
