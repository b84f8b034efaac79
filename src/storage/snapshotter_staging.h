// What the snapshotter's files share: the staging directory of a layer in the making, and its recipe file.
#pragma once

#include <fcntl.h>

#include <memory>
#include <string>
#include <utility>

#include "base/result.h"
#include "storage/compression.h"
#include "storage/snapshotter.h"
#include "sys/fd.h"

namespace berth::storage {

struct Snapshotter::Staging {
  explicit Staging(std::string directory) : path(std::move(directory)) {}
  Staging(Staging&& other) noexcept : path(std::exchange(other.path, {})) {}
  Staging& operator=(Staging&&) = delete;
  ~Staging();

  std::string tree() const { return path + "/fs"; }
  std::string recipe() const { return path + "/recipe"; }

  std::string path;
};

/// A zstd-compressed recipe on disk.
class RecipeFile {
 public:
  static Result<RecipeFile> create(const std::string& path) {
    RecipeFile file;
    TRY(file.fd_, sys::open_file(path.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0600));
    file.out_ = std::make_unique<FdSink>(file.fd_.get());
    TRY(file.compressed_, compress(*file.out_, Compression::Zstd));
    return file;
  }
  ByteSink& sink() { return *compressed_; }
  Result<void> finish() { return compressed_->finish(); }

 private:
  sys::UniqueFd fd_;
  std::unique_ptr<FdSink> out_;
  std::unique_ptr<CompressingSink> compressed_;
};

}  // namespace berth::storage
