// StoredVersion: a version as the catalog keeps it: packed, since a host has thousands of which few run. It
// is unpacked for whoever asks, once for all who hold it at the same time.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "functions/model.h"

namespace berth::functions {

class StoredVersion {
 public:
  explicit StoredVersion(const FunctionVersionPtr& version);

  /// The same object as long as anybody holds it. Some tens of microseconds when nobody does.
  FunctionVersionPtr get() const;
  /// Nobody is given this object any more, but somebody may still hold it; null: nobody does.
  FunctionVersionPtr held() const { return unpacked_.lock(); }

  uint64_t code_size() const { return code_size_; }
  /// Of the code and of layers.
  std::vector<std::string> directories() const;

 private:
  mutable std::weak_ptr<const FunctionVersion> unpacked_;
  std::string packed_;  ///< members that differ from a new version's, without the code's digest and directory
  /// Where `digest_` is a folder named after it; null: the packed members have digest and directory.
  const std::string* parent_ = nullptr;
  std::array<uint8_t, 32> digest_{};  ///< of the code
  uint64_t code_size_;
  bool has_layers_;
};

}  // namespace berth::functions
