// Small documents (a Compose project, say) are put into a registry as an artifact.
#pragma once

#include "registry/client/artifact.h"

namespace berth::registry {

/// The manifest names `request.type` as artifactType (OCI 1.1); for OCI 1.0 its config is of
/// `request.config_type` instead.
enum class ArtifactForm { Oci10, Oci11 };

/// Blocking. The digest of the manifest, which bears the reference's tag. More than the limits: Exhausted.
Result<Digest> push_artifact(const Settings& settings, storage::ImageStore& images,
                             const ArtifactRequest& request, const std::vector<ArtifactFile>& files,
                             ArtifactForm form, std::stop_token stop, const ArtifactLimits& limits = {});

}  // namespace berth::registry
