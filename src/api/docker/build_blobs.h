// Blobs that pass between a build and its client beside the build's own request (build::ClientTransfers).
#pragma once

#include "api/docker/context.h"

namespace berth::api {

// Handlers of /berth/build/{token}/blobs/{digest} and /berth/build/{token}. NotFound: no build has that
// token, or it neither wants nor offers that blob.
io::Task<Result<void>> take_build_blob(Context& context);     ///< PUT: what a build waits for
io::Task<Result<void>> give_build_blob(Context& context);     ///< GET: what a build offers
io::Task<Result<void>> refuse_build_blob(Context& context);   ///< DELETE: the client has it no more
io::Task<Result<void>> end_build_transfer(Context& context);  ///< DELETE: the client has taken all it wants

}  // namespace berth::api
