// The Dockerfile frontend: fetches what the engine's builder needs from the client's session, and turns the
// builder's events into the vertices that clients show.
#pragma once

#include <memory>
#include <string>

#include "apps/buildkit/engine_client.h"
#include "apps/buildkit/parameters.h"
#include "apps/buildkit/progress.h"
#include "apps/buildkit/session.h"
#include "base/result.h"

namespace berth::buildkit {

/// Builds, untagged; the image's id. `session` may be null when the context is a URL.
Result<std::string> build_dockerfile(const EngineClient& engine, const std::shared_ptr<Session>& session,
                                     BuildParameters parameters, Progress& progress,
                                     const Cancelled& cancelled);

/// BuildKit's words for the failure of a RUN, from docker's.
std::string failure_words(const std::string& message);

}  // namespace berth::buildkit
