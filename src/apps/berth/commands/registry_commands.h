// Commands of `berth registry` and of stored contexts, defined beside their actions.
#pragma once

#include "apps/berth/grammar/command.h"

namespace berth::cli::commands {

extern const grammar::Command serve_registry_command, list_repositories_command, collect_registry_command;
extern const grammar::Command create_context_command, remove_context_command;

}  // namespace berth::cli::commands
