// Commands of `berth image` beyond docker's, defined beside their actions.
#pragma once

#include "apps/berth/grammar/command.h"

namespace berth::cli::commands {

extern const grammar::Command verify_images_command, image_tree_command;

}  // namespace berth::cli::commands
