// build --check and --call: answers about a Dockerfile instead of an image of it, as docker's command gives
// them.
#pragma once

#include "apps/berth/context.h"
#include "apps/berth/failure.h"
#include "apps/berth/grammar/invocation.h"

namespace berth::cli::commands {

/// Whether an answer is asked for.
bool is_build_call(const grammar::Invocation& invocation);
/// Prints it; the exit status: 1 when checks have found something.
Outcome<int> answer_build_call(Context& context, const grammar::Invocation& invocation);

}  // namespace berth::cli::commands
