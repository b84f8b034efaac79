// TemporaryFile: a text that a command wants as a file, readable by its user alone and gone with the object.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "apps/berth/failure.h"

namespace berth::cli::compose {

class TemporaryFile {
 public:
  static Outcome<TemporaryFile> create(std::string_view text);
  TemporaryFile(TemporaryFile&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  TemporaryFile& operator=(TemporaryFile&&) = delete;
  ~TemporaryFile();
  const std::string& path() const { return path_; }

 private:
  TemporaryFile() = default;
  std::string path_;
};

}  // namespace berth::cli::compose
