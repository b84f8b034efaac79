// Targets: the same request for each of several containers (stop a b c), all at once, reported in their
// order.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "apps/berth/context.h"

namespace berth::cli::commands {

using MakeRequest = std::function<client::Request(const std::string& name)>;

/// Sends the requests, up to 50 at a time, and returns the answers in the order of `names`. One name goes
/// over the kept connection. An empty name is refused without asking the engine.
std::vector<Outcome<client::Reply>> request_each(Context& context, const std::vector<std::string>& names,
                                                 const MakeRequest& make);
/// The usual form: prints each name that succeeded, reports the others; the value is the exit code.
Outcome<int> perform_each(Context& context, const std::vector<std::string>& names, const MakeRequest& make);
/// Refuses an empty name or id, which would ask for another route.
Outcome<void> check_name(std::string_view name);

}  // namespace berth::cli::commands
