// TarWriter: tar headers and content into a sink. PAX format as Go writes it: a plain ustar header, preceded
// by a PAX header only for what ustar cannot say. Times are whole seconds, as in docker's layers. The same
// entries give the same bytes.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "storage/byte_stream.h"
#include "storage/recipe.h"
#include "storage/tar_reader.h"

namespace berth::storage {

class TarWriter {
 public:
  explicit TarWriter(ByteSink& sink, RecipeWriter* recipe = nullptr) : sink_(sink), recipe_(recipe) {}

  /// Header of an entry; a file's `size` bytes must follow by file(), content() or sparse_file().
  Result<void> header(const TarEntry& entry);
  /// A file whose whole content is at hand.
  Result<void> file(TarEntry entry, std::string_view content);
  /// A part of the current file's content.
  Result<void> content(std::string_view bytes);
  /// The same, from the tree's file `path` (for the recipe).
  Result<void> content_of(std::string_view path, uint64_t offset, std::string_view bytes);
  /// Pads the current file to a whole block.
  Result<void> end_file();
  /// Header and map of a sparse file (GNU PAX 1.0); the extents' bytes must follow by content().
  Result<void> sparse_header(const TarEntry& entry, const std::vector<SparseExtent>& extents);
  /// The end mark.
  Result<void> finish();
  uint64_t bytes() const { return bytes_; }

 private:
  Result<void> put(std::string_view bytes);
  Result<void> pax_header(std::string_view name, std::string_view records);
  Result<void> write_header(const TarEntry& entry, uint64_t size, std::string records);
  ByteSink& sink_;
  RecipeWriter* recipe_;
  uint64_t bytes_ = 0;
};

/// The content of the writer's current file, counted.
struct TarContentSink : ByteSink {
  explicit TarContentSink(TarWriter& writer) : tar(writer) {}
  Result<void> write(std::string_view bytes) override {
    written += bytes.size();
    return tar.content(bytes);
  }
  TarWriter& tar;
  uint64_t written = 0;
};

}  // namespace berth::storage
