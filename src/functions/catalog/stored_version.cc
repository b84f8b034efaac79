// Versions at rest.
#include "functions/catalog/stored_version.h"

#include <utility>

#include "functions/catalog/record_json.h"

namespace berth::functions {
namespace {

std::string pack_without_directory(FunctionVersion version) {
  version.code_directory.clear();
  std::string packed = pack(version);
  packed.shrink_to_fit();
  return packed;
}

}  // namespace

StoredVersion::StoredVersion(const FunctionVersionPtr& version)
    : unpacked_(version),
      packed_(pack_without_directory(*version)),
      code_directory_(version->code_directory),
      code_size_(version->code_size),
      has_layers_(!version->layers.empty()) {}

FunctionVersionPtr StoredVersion::get() const {
  if (auto held = unpacked_.lock()) return held;
  FunctionVersion version = decode_version(packed_).value();  // what pack() wrote in this process
  version.code_directory = code_directory_;
  // Not make_shared: its block would stay whole for the weak pointer's sake.
  FunctionVersionPtr fresh(new FunctionVersion(std::move(version)));
  unpacked_ = fresh;
  return fresh;
}

std::vector<std::string> StoredVersion::directories() const {
  std::vector<std::string> directories{code_directory_};
  if (!has_layers_) return directories;
  for (const LayerUse& layer : get()->layers) directories.push_back(layer.directory);
  return directories;
}

}  // namespace berth::functions
