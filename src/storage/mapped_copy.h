// Copies of an image's files with other owners: for containers whose user namespace does not show the layers'
// owners as they are, on hosts where mounts cannot be idmapped (an ordinary user's engine).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"

namespace berth::storage {

struct OwnerMap {
  std::function<uint32_t(uint32_t)> uid;
  std::function<uint32_t(uint32_t)> gid;
};

/// The directory `<folder>/<key>/fs` with everything that the layers (topmost first) merge to, owners mapped;
/// made at the first call and used again by later ones. Takes as long as copying the image does.
Result<std::string> mapped_copy(const std::vector<std::string>& layers, const std::string& folder,
                                const std::string& key, const OwnerMap& owners);

}  // namespace berth::storage
