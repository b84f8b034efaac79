// TarReader: a tar stream as entries and pieces of content, without copying the content. Reads ustar, PAX,
// GNU (long names, old and PAX sparse files) and V7; holds the limits of ArchiveLimits; knows nothing of
// files.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "storage/archive.h"
#include "storage/recipe.h"
#include "storage/tar_header.h"
#include "sys/file.h"

namespace berth::storage {

/// Where chunks of an uncompressed archive come from.
class ChunkSource {
 public:
  virtual ~ChunkSource() = default;
  /// The next bytes, valid until the next call; empty is the end.
  virtual Result<std::string_view> next_chunk() = 0;
};

/// Reads any ByteSource by chunks.
class BufferedChunks : public ChunkSource {
 public:
  explicit BufferedChunks(ByteSource& source, size_t size = 256 * 1024) : source_(source), buffer_(size) {}
  Result<std::string_view> next_chunk() override;

 private:
  ByteSource& source_;
  std::vector<char> buffer_;
};

enum class TarType { File, HardLink, Symlink, CharDevice, BlockDevice, Directory, Fifo };

/// A region of a sparse file that the archive holds.
struct SparseExtent {
  uint64_t offset = 0;
  uint64_t length = 0;
};

struct TarEntry {
  TarType type = TarType::File;
  std::string name;   ///< as in the archive
  std::string link;   ///< target of links
  uint32_t mode = 0;  ///< permission bits with set-id and sticky
  uint32_t uid = 0;
  uint32_t gid = 0;
  TarTime mtime;
  uint64_t size = 0;  ///< of the file once unpacked
  uint32_t major = 0;
  uint32_t minor = 0;
  std::vector<sys::Xattr> xattrs;
  bool is_sparse = false;
};

/// Content of the current entry that goes to `offset` of the file.
struct TarPiece {
  uint64_t offset = 0;
  std::string_view bytes;
};

class TarReader {
 public:
  /// `recipe`, when given, receives everything but what data() hands out.
  TarReader(ChunkSource& source, const ArchiveLimits& limits, RecipeWriter* recipe = nullptr)
      : source_(source), limits_(limits), recipe_(recipe) {}

  /// The next entry; what is left of the current one is skipped. False at the end of the archive.
  Result<bool> next(TarEntry& entry);
  /// The next piece of the current entry's content, valid until the next call; none at its end. Whoever takes
  /// a piece records it in the recipe.
  Result<std::optional<TarPiece>> data();
  /// Reads to the end of the stream (padding after the end mark counts for the digest).
  Result<void> drain();

 private:
  Result<bool> fill();
  Result<std::string_view> take(size_t count);
  Result<void> skip(uint64_t count);
  Result<std::string> take_extension(const TarHeader& header);
  Result<bool> read_header(TarHeader& header);
  Result<void> apply_pax(const PaxRecords& pax, TarHeader& header, TarEntry& entry);
  Result<void> start_entry(const TarHeader& header, TarEntry& entry);
  Result<void> read_gnu_sparse(std::string_view block, TarEntry& entry);
  Result<void> read_pax_sparse(const PaxRecords& pax, TarEntry& entry);
  Result<void> read_sparse_1_0(TarEntry& entry);
  Result<void> set_extents(const std::vector<int64_t>& numbers, TarEntry& entry);

  ChunkSource& source_;
  ArchiveLimits limits_;
  RecipeWriter* recipe_;
  std::string_view chunk_;
  std::string scratch_;
  std::string sparse_block_;  ///< header block of an old GNU sparse entry, which holds the map's start
  uint64_t position_ = 0;
  uint64_t entries_ = 0;        ///< extension headers included
  uint64_t claimed_bytes_ = 0;  ///< file sizes, holes included

  uint64_t payload_left_ = 0;  ///< of the current entry, in the archive
  uint64_t padding_ = 0;       ///< after it
  uint64_t file_offset_ = 0;   ///< where the next piece goes
  std::vector<SparseExtent> extents_;
  size_t extent_ = 0;
  bool ended_ = false;
};

}  // namespace berth::storage
