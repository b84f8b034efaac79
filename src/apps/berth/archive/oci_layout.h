// OciLayout: a directory of blobs with an index of what they are for, as the OCI image layout has it; build
// caches are kept so. What is read is verified by its digest.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "apps/berth/failure.h"
#include "base/digest.h"
#include "base/result.h"
#include "sys/fd.h"

namespace berth::cli::archive {

class OciLayout {
 public:
  explicit OciLayout(std::string directory) : directory_(std::move(directory)) {}

  /// The digest of the manifest of that tag. NotFound: the index has none.
  Result<Digest> find(std::string_view tag) const;
  /// A document of at most `max_bytes`. Corrupt: it is not what its digest says.
  Result<std::string> read(const Digest& digest, size_t max_bytes) const;
  Result<sys::UniqueFd> open(const Digest& digest) const;
  /// Whether there is a blob of that size.
  bool contains(const Digest& digest, uint64_t size) const;

  /// Makes the directories.
  Result<void> create() const;
  Result<void> write(const Digest& digest, std::string_view bytes) const;
  /// Where a blob is written piece by piece; it is there after commit(), if it is the right one.
  class Blob {
   public:
    Blob(Blob&&) noexcept;
    ~Blob();
    Result<void> write(std::string_view bytes);
    Result<void> commit();

   private:
    friend class OciLayout;
    struct State;
    explicit Blob(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
  };
  Result<Blob> begin(const Digest& digest) const;
  /// From now on the tag means this manifest.
  Result<void> tag(std::string_view tag, const Digest& manifest, uint64_t size) const;

 private:
  std::string blob_path(const Digest& digest) const;
  std::string directory_;
};

}  // namespace berth::cli::archive
