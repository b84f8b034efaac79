// Commands of `berth image` beyond docker's, defined beside their actions.
#pragma once

#include "apps/berth/grammar/command.h"

namespace berth::cli::commands {

extern const grammar::Command verify_images_command, image_tree_command;
extern const grammar::Command pin_image_command, unpin_image_command, list_pins_command;

}  // namespace berth::cli::commands
