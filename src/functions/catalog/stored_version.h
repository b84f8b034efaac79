// StoredVersion: a version as the catalog keeps it: packed, since a host has thousands of which few run. It
// is unpacked for whoever asks, once for all who hold it at the same time.
#pragma once

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
  std::string packed_;  ///< members that differ from a new version's, without the directory
  std::string code_directory_;
  uint64_t code_size_;
  bool has_layers_;
};

}  // namespace berth::functions
