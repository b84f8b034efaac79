// Generated usage texts.
#include "apps/berth/grammar/help.h"

#include <algorithm>
#include <vector>

#include "base/format.h"

namespace berth::cli::grammar {
namespace {

/// Breaks at spaces; a newline in the text stays one.
std::vector<std::string> wrap(std::string_view text, size_t width) {
  std::vector<std::string> lines(1);
  while (!text.empty()) {
    size_t end = text.find_first_of(" \n");
    std::string_view word = text.substr(0, end);
    if (!lines.back().empty() && lines.back().size() + 1 + word.size() > width) lines.emplace_back();
    if (!lines.back().empty() && !word.empty()) lines.back() += ' ';
    lines.back() += word;
    if (end == std::string_view::npos) break;
    if (text[end] == '\n') lines.emplace_back();
    text.remove_prefix(end + 1);
  }
  return lines;
}

bool zero_value(const Flag& flag) {
  if (flag.fallback.empty()) return true;
  return flag.type == Type::Bool ? flag.fallback == "false" : flag.fallback == "0";
}

std::string described(const Flag& flag) {
  std::string text(flag.help);
  if (zero_value(flag)) return text;
  bool quote = flag.type == Type::String;
  return text + fmt::format(" (default {}{}{})", quote ? "\"" : "", flag.fallback, quote ? "\"" : "");
}

std::string commands_list(Tree tree, std::string_view prefix, Section section) {
  size_t width = 11;
  std::vector<const Entry*> entries;
  for (const Entry& entry : tree) {
    if (entry.section != section || !entry.path.starts_with(prefix)) continue;
    if (entry.path.substr(prefix.size()).find(' ') != std::string_view::npos) continue;
    entries.push_back(&entry);
    width = std::max(width, entry.path.size() - prefix.size() + 1);
  }
  if (section != Section::Common) {
    std::sort(entries.begin(), entries.end(),
              [](auto* left, auto* right) { return left->path < right->path; });
  }
  std::string text;
  for (const Entry* entry : entries) {
    std::string_view summary = entry->command != nullptr ? entry->command->summary : entry->group_summary;
    text += fmt::format("  {:<{}} {}\n", entry->path.substr(prefix.size()), width, summary);
  }
  return text;
}

std::string aliases(const HelpStyle& style, Tree tree, const Command& command) {
  std::vector<std::string> names;
  for (const Entry& entry : tree) {
    if (entry.command == &command) names.push_back(fmt::format("{} {}", style.program, entry.path));
  }
  if (names.size() < 2) return {};
  return fmt::format("\nAliases:\n  {}\n", fmt::join(names, ", "));
}

}  // namespace

std::string usage_line(const HelpStyle& style, std::string_view path, const Command& command) {
  std::string line = fmt::format("{} {}", style.program, path);
  if (!command.usage.empty()) line += fmt::format(" {}", command.usage);
  if (!command.second_usage.empty()) {
    line += fmt::format("\n\t{} {} {}", style.program, path, command.second_usage);
  }
  return line;
}

std::string flags_help(Flags flags, Flags more_flags, size_t columns) {
  std::vector<const Flag*> shown;
  for (Flags part : {flags, more_flags}) {
    for (const Flag& flag : part) {
      if (flag.visibility == Visibility::Shown) shown.push_back(&flag);
    }
  }
  std::sort(shown.begin(), shown.end(), [](auto* left, auto* right) { return left->name < right->name; });

  std::vector<std::string> heads;
  size_t width = 0;
  for (const Flag* flag : shown) {
    std::string head = flag->letter != 0 ? fmt::format("  -{}, --{}", flag->letter, flag->name)
                                         : fmt::format("      --{}", flag->name);
    if (flag->type != Type::Bool) head += fmt::format(" {}", type_name(flag->type));
    width = std::max(width, head.size());
    heads.push_back(std::move(head));
  }
  size_t column = width + 3;
  size_t room = columns > column + 24 ? columns - column : 24;
  std::string text;
  for (size_t i = 0; i < shown.size(); ++i) {
    std::string indent = fmt::format("{:<{}}", heads[i], column);
    for (const std::string& line : wrap(described(*shown[i]), room)) {
      text += indent + line + "\n";
      indent.assign(column, ' ');
    }
  }
  return text;
}

std::string command_help(const HelpStyle& style, Tree tree, std::string_view path, const Command& command) {
  std::string text = fmt::format("Usage:  {}\n\n", usage_line(style, path, command));
  text += command.description.empty() ? command.summary : command.description;
  text += "\n";
  text += aliases(style, tree, command);
  if (std::string flags = flags_help(command.flags, command.more_flags, style.columns); !flags.empty()) {
    text += "\nOptions:\n" + flags;
  }
  return text;
}

std::string group_help(const HelpStyle& style, Tree tree, const Entry& group) {
  return fmt::format(
      "Usage:  {0} {1} COMMAND\n\n{2}\n\nCommands:\n{3}\n"
      "Run '{0} {1} COMMAND --help' for more information on a command.\n",
      style.program, group.path, group.group_summary,
      commands_list(tree, std::string(group.path) + " ", Section::Plain));
}

std::string program_help(const HelpStyle& style, Tree tree, Flags global) {
  return fmt::format(
      "Usage:  {0} [OPTIONS] COMMAND\n\nBuild, run and watch containers\n\n"
      "Common Commands:\n{1}\nManagement Commands:\n{2}\nCommands:\n{3}\nGlobal Options:\n{4}\n"
      "Run '{0} COMMAND --help' for more information on a command.\n",
      style.program, commands_list(tree, "", Section::Common), commands_list(tree, "", Section::Management),
      commands_list(tree, "", Section::Plain), flags_help(global, {}, style.columns));
}

}  // namespace berth::cli::grammar
