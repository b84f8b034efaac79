// Commands for durable executions, defined beside their actions.
#pragma once

#include "apps/berth/grammar/command.h"

namespace berth::cli::commands {

extern const grammar::Command list_executions_command, show_execution_command, stop_execution_command,
    pause_execution_command, resume_execution_command, remove_execution_command, answer_callback_command;

}  // namespace berth::cli::commands
