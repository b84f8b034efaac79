// ZipFile: a zip archive of files as functions are uploaded: stored without compression (it goes over a local
// socket), with the same bytes for the same content, so that an unchanged function is recognised by its
// digest.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace berth::cli::archive {

class ZipFile {
 public:
  /// `name` relative, with '/'; `mode` as stat has it. Together at most 4 GiB.
  Result<void> add(std::string_view name, std::string_view content, uint32_t mode);
  /// The whole archive; nothing may be added afterwards.
  std::string finish() &&;

 private:
  std::string bytes_;
  std::string directory_;
  uint32_t count_ = 0;
};

/// All regular files and symbolic links below a folder, in the order of their names; ".git", "__pycache__",
/// ".aws-sam" and "template.yaml" of the top are left out. Bounded by `max_bytes`.
Result<std::string> zip_folder(const std::string& folder, uint64_t max_bytes);

}  // namespace berth::cli::archive
