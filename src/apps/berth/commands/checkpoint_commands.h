// Commands of `berth checkpoint`, defined beside their actions.
#pragma once

#include "apps/berth/grammar/command.h"

namespace berth::cli::commands {

extern const grammar::Command create_checkpoint_command, list_checkpoints_command, remove_checkpoint_command;

}  // namespace berth::cli::commands
