// post_start and pre_stop: commands that run in a service's container when it has started, and before it is
// stopped.
#pragma once

#include <string_view>

#include "apps/berth/compose/session.h"

namespace berth::cli::compose {

/// Runs the hooks of `key` ("post_start", "pre_stop") one after the other and prints what they write. The
/// first that ends with another code than 0 is a failure; services that the files no longer have, have none.
Outcome<void> run_hooks(Session& session, client::Client& engine, const Observed& container,
                        std::string_view key);

}  // namespace berth::cli::compose
