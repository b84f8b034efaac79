// The part of `update` that docker does not have: ports, mounts, environment and networks of a running
// container.
#pragma once

#include <array>
#include <string>

#include "apps/berth/context.h"
#include "apps/berth/grammar/flag.h"
#include "apps/berth/grammar/invocation.h"
#include "base/json_fwd.h"

namespace berth::cli::commands {

/// Flags of `update` that go to /berth/containers/{id}/update.
extern const std::array<grammar::Flag, 6> live_update_flags;

/// The request's body; null when none of the flags is given.
Outcome<Json> live_update_body(const grammar::Invocation& invocation);
/// Sends it for one container, and joins the networks of --network-add. Warnings go to `said`.
Outcome<void> send_live_update(Context& context, const grammar::Invocation& invocation, const Json& body,
                               const std::string& container, std::vector<std::string>& said);

}  // namespace berth::cli::commands
