// Help: usage texts generated from the tables of commands and flags.
#pragma once

#include <string>
#include <string_view>

#include "apps/berth/grammar/command.h"

namespace berth::cli::grammar {

struct HelpStyle {
  std::string_view program = "berth";
  /// Width to wrap the descriptions of flags at.
  size_t columns = 80;
};

/// "berth run [OPTIONS] IMAGE [COMMAND] [ARG...]"
std::string usage_line(const HelpStyle& style, std::string_view path, const Command& command);
/// The whole help of a command.
std::string command_help(const HelpStyle& style, Tree tree, std::string_view path, const Command& command);
/// The help of a group ("container") with its commands.
std::string group_help(const HelpStyle& style, Tree tree, const Entry& group);
/// The help of the program; `global` are the flags before the command.
std::string program_help(const HelpStyle& style, Tree tree, Flags global);
/// The column of flags: letter, name, type, wrapped description.
std::string flags_help(Flags flags, Flags more_flags, size_t columns);

}  // namespace berth::cli::grammar
