// POST /build?version=2 and its cancel: how docker's command asks for BuildKit without the buildx plugin.
#pragma once

#include "api/docker/context.h"

namespace berth::api {

/// Gives the request (its parameters, its body) to BuildkitGate's program, and the client what comes back.
/// Unsupported: the program is not installed.
io::Task<Result<void>> build_by_buildkit(Context& context);
/// Ends the build that has this `buildid`. NotFound: none runs.
io::Task<Result<void>> cancel_by_buildkit(Context& context, std::string id);

}  // namespace berth::api
