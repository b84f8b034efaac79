// Versions at rest.
#include "functions/catalog/stored_version.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/bytes.h"
#include "functions/catalog/record_json.h"

namespace berth::functions {
namespace {

/// One copy of each for good: an engine keeps all code in one folder.
const std::string* parent_of(std::string_view directory) {
  static std::set<std::string, std::less<>> parents;
  return &*parents.emplace(directory.substr(0, directory.rfind('/') + 1)).first;
}

}  // namespace

StoredVersion::StoredVersion(const FunctionVersionPtr& version)
    : unpacked_(version), code_size_(version->code_size), has_layers_(!version->layers.empty()) {
  FunctionVersion rest = *version;
  auto raw = from_base64(rest.code_sha256);
  if (raw && raw->size() == digest_.size()) {
    std::copy(raw->begin(), raw->end(), digest_.begin());
    if (rest.code_directory.ends_with("/" + to_hex(digest_)) && to_base64(*raw) == rest.code_sha256) {
      parent_ = parent_of(rest.code_directory);
      rest.code_directory.clear();
      rest.code_sha256.clear();
    }
  }
  packed_ = pack(rest);
  packed_.shrink_to_fit();
}

FunctionVersionPtr StoredVersion::get() const {
  if (auto held = unpacked_.lock()) return held;
  FunctionVersion version = unpack(packed_);
  if (parent_ != nullptr) {
    version.code_directory = *parent_ + to_hex(digest_);
    version.code_sha256 = to_base64({reinterpret_cast<const char*>(digest_.data()), digest_.size()});
  }
  // Not make_shared: its block would stay whole for the weak pointer's sake.
  FunctionVersionPtr fresh(new FunctionVersion(std::move(version)));
  unpacked_ = fresh;
  return fresh;
}

std::vector<std::string> StoredVersion::directories() const {
  if (parent_ != nullptr && !has_layers_) return {*parent_ + to_hex(digest_)};
  std::vector<std::string> directories{get()->code_directory};
  for (const LayerUse& layer : get()->layers) directories.push_back(layer.directory);
  return directories;
}

}  // namespace berth::functions
