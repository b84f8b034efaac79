// The command `berth ui`, defined in ui.cc.
#pragma once

#include "apps/berth/grammar/command.h"

namespace berth::cli::ui {

extern const grammar::Command ui_command;

}  // namespace berth::cli::ui
