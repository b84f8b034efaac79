// ZipWriter: a zip archive made of files, links and directories, deflated, with unix modes. Deterministic:
// the same entries give the same bytes (all times are 1980-01-01).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "storage/byte_stream.h"
#include "sys/root_dir.h"

namespace berth::functions {

class ZipWriter {
 public:
  explicit ZipWriter(storage::ByteSink& sink) : sink_(sink) {}

  Result<void> add_file(std::string_view name, std::string_view content, uint32_t mode = 0644);
  Result<void> add_symlink(std::string_view name, std::string_view target);
  Result<void> add_directory(std::string_view name, uint32_t mode = 0755);
  /// The archive is complete.
  Result<void> finish();

 private:
  struct Added {
    std::string_view name, content;
    uint32_t mode = 0;
    bool deflate = true;
  };
  Result<void> add(const Added& added);
  storage::ByteSink& sink_;
  std::string central_;
  uint64_t offset_ = 0;
  uint32_t entries_ = 0;
};

/// Everything below `root`, links as links; beyond `max_bytes` of content: Exhausted.
Result<void> zip_tree(const sys::RootDir& root, storage::ByteSink& sink, uint64_t max_bytes);

}  // namespace berth::functions
