// Pushing a built image, for clients that leave it to the engine (`push=true` of the exporter).
#pragma once

#include <string>

#include "apps/buildkit/engine_client.h"
#include "apps/buildkit/progress.h"
#include "apps/buildkit/session.h"
#include "base/result.h"
#include "spec/reference.h"

namespace berth::buildkit {

/// Pushes the tag, with the credentials that the client's session has for its registry. The engine's words
/// when the registry refuses.
Result<void> push_image(const EngineClient& engine, const Session* session, const spec::Reference& reference,
                        Progress& progress, const Cancelled& cancelled);

}  // namespace berth::buildkit
