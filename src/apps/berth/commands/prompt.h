// Prompt: asking before something is removed, and reading secrets.
#pragma once

#include <string>
#include <string_view>

#include "apps/berth/context.h"

namespace berth::cli::commands {

/// Prints "<question> [y/N] " and reads a line; only y or yes (any case) is agreement.
bool confirm(Context& context, std::string_view question);
/// Prints `label` on stderr and reads a line from standard input, without echo when it is a terminal.
enum class Echo { On, Off };
Outcome<std::string> ask(Context& context, std::string_view label, Echo echo);

}  // namespace berth::cli::commands
