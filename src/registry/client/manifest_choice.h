// Which manifest of an index is meant for a platform. Pure.
#pragma once

#include "base/result.h"
#include "spec/image.h"

namespace berth::registry {

/// None: NotFound "no matching manifest for linux/arm64 in the manifest list entries: linux/amd64, ...".
Result<spec::Descriptor> choose_manifest(const spec::Index& index, const spec::Platform& wanted);
/// The first that is no attestation. None: NotFound.
Result<spec::Descriptor> first_image(const spec::Index& index);
/// The platforms of an index's images.
std::vector<spec::Platform> platforms_of(const spec::Index& index);

}  // namespace berth::registry
