// Builds by engines of others: what of a build's flags docker's own POST /build can carry.
#pragma once

#include "apps/berth/client/http.h"
#include "apps/berth/context.h"
#include "apps/berth/failure.h"
#include "apps/berth/grammar/invocation.h"

namespace berth::cli::commands {

/// Whether the engine has POST /berth/build: berth's has.
Outcome<bool> knows_builds_of_ours(Context& context);

/// Puts --cache-from into the query as docker's classic builder takes it, with a note on standard error; what
/// that builder has no place for is refused by name, with the way out.
Outcome<void> use_classic_builder(Context& context, const grammar::Invocation& invocation,
                                  client::Query& query);

}  // namespace berth::cli::commands
