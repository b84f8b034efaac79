// Interception: somebody stands between the clients of this process and their engine (`compose --dry-run`).
#pragma once

#include <functional>
#include <optional>

#include "apps/berth/client/client.h"

namespace berth::cli::client {

using Ask = std::function<Outcome<Reply>(const Request&)>;
/// None: the engine is asked as always; else what the engine would have answered. `ask` reaches the engine
/// itself. Called from any thread.
using Interceptor = std::function<std::optional<Outcome<Reply>>(const Request&, const Ask& ask)>;

/// For all clients of this process; before other threads are there.
void intercept_requests(Interceptor interceptor);

}  // namespace berth::cli::client
