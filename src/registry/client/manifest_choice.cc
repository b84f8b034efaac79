// Platform selection.
#include "registry/client/manifest_choice.h"

#include "base/format.h"
#include "storage/index_closure.h"

namespace berth::registry {

using storage::is_attestation;

std::vector<spec::Platform> platforms_of(const spec::Index& index) {
  std::vector<spec::Platform> platforms;
  for (const spec::Descriptor& descriptor : index.manifests) {
    if (descriptor.platform && !is_attestation(descriptor)) platforms.push_back(*descriptor.platform);
  }
  return platforms;
}

Result<spec::Descriptor> first_image(const spec::Index& index) {
  for (const spec::Descriptor& candidate : index.manifests) {
    bool usable = spec::is_manifest_type(candidate.media_type) || spec::is_index_type(candidate.media_type);
    if (usable && !is_attestation(candidate)) return candidate;
  }
  return Error(Kind::NotFound, "the manifest list names no image");
}

Result<spec::Descriptor> choose_manifest(const spec::Index& index, const spec::Platform& wanted) {
  const spec::Descriptor* best = nullptr;
  const spec::Descriptor* only = nullptr;
  size_t images = 0;
  for (const spec::Descriptor& candidate : index.manifests) {
    bool usable = spec::is_manifest_type(candidate.media_type) || spec::is_index_type(candidate.media_type);
    if (!usable || is_attestation(candidate)) continue;
    ++images;
    only = &candidate;
    if (!candidate.platform || !spec::matches(wanted, *candidate.platform)) continue;
    bool exact = candidate.platform->variant == wanted.variant;
    if (best == nullptr || (exact && best->platform->variant != wanted.variant)) best = &candidate;
  }
  if (best != nullptr) return *best;
  // An index of one image that does not say what it runs on: its configuration will.
  if (images == 1 && !only->platform) return *only;
  std::string offered;
  for (const spec::Platform& platform : platforms_of(index)) {
    if (offered.size() > 300) break;
    offered += (offered.empty() ? "" : ", ") + platform.str();
  }
  return failure(Kind::NotFound, "no matching manifest for {} in the manifest list entries: {}", wanted.str(),
                 offered.empty() ? "none has a platform" : offered);
}

}  // namespace berth::registry
