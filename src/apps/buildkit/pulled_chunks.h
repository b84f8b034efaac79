// PulledChunks: an archive from a function that gives its bytes piece by piece, empty at the end.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "storage/tar_reader.h"

namespace berth::buildkit {

class PulledChunks : public storage::ChunkSource {
 public:
  /// `read` must outlive the object.
  explicit PulledChunks(const std::function<Result<std::string>()>& read) : read_(read) {}
  Result<std::string_view> next_chunk() override {
    TRY(chunk_, read_());
    return std::string_view(chunk_);
  }

 private:
  const std::function<Result<std::string>()>& read_;
  std::string chunk_;
};

}  // namespace berth::buildkit
