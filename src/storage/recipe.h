// The tar recipe of a layer: everything of its tar stream that is not file content, plus references to the
// files that hold the content. With the unpacked tree it gives the very same bytes back, so that a layer that
// came as a plain tar, or was born here, need not be stored twice.
//
// Format: "berthtar2\n", then records: 'L' varint(length) bytes | 'F' varint(path length) path varint(offset)
// varint(length); at last 'C' and the archive's checksum (checksum.h), 8 bytes, the lowest first.
// "berthtar1\n" has no checksum. Stored zstd-compressed by the snapshotter.
#pragma once

#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>

#include "base/result.h"
#include "storage/byte_stream.h"
#include "sys/root_dir.h"

namespace berth::storage {

inline constexpr std::string_view kRecipeMagic = "berthtar2\n";
inline constexpr uint64_t kMaxRecipeLiteral = 1u << 20;  ///< bytes of one record

class RecipeWriter {
 public:
  explicit RecipeWriter(ByteSink& sink) : sink_(sink) {}
  /// Bytes of the archive itself.
  Result<void> literal(std::string_view bytes);
  /// `length` bytes that stand in the tree's file `path` from `offset` on.
  Result<void> content(std::string_view path, uint64_t offset, uint64_t length);
  /// `checksum`: of the whole archive.
  Result<void> finish(uint64_t checksum);

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

/// A recipe that is read back.
class RecipeReader {
 public:
  /// Corrupt: no recipe. `recipe` must outlive the result.
  static Result<RecipeReader> open(ByteSource& recipe);
  ~RecipeReader();
  RecipeReader(RecipeReader&&) noexcept;

  /// replay() verifies what it writes.
  bool has_checksum() const { return has_checksum_; }
  /// Writes the archive that the recipe and the tree make up, once. A file that is shorter than recorded, or
  /// another checksum: Corrupt.
  Result<void> replay(const sys::RootDir& tree, ByteSink& out, std::stop_token stop = {});

 private:
  class Records;
  explicit RecipeReader(std::unique_ptr<Records> records);
  std::unique_ptr<Records> records_;
  bool has_checksum_ = false;
};

}  // namespace berth::storage
