// Command: one verb of the command line, its flags and the function that performs it. The tree of commands is
// constant data (commands/table.cc).
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "apps/berth/failure.h"
#include "apps/berth/grammar/flag.h"

namespace berth::cli {
class Context;
}

namespace berth::cli::grammar {

class Invocation;

/// Performs a command; the value is the exit code.
using Action = Outcome<int> (*)(Context& context, const Invocation& invocation);

struct Arity {
  static constexpr size_t any = static_cast<size_t>(-1);
  size_t min = 0;
  size_t max = 0;
};
constexpr Arity no_arguments{0, 0};
constexpr Arity exactly(size_t count) {
  return {count, count};
}
constexpr Arity at_least(size_t count) {
  return {count, Arity::any};
}
constexpr Arity between(size_t min, size_t max) {
  return {min, max};
}

/// Whether flags may stand after the first argument. Commands that pass a command line on (run, exec) end at
/// it.
enum class FlagPlacement { Anywhere, BeforeArguments };

struct Command {
  std::string_view usage;    ///< what follows the command's name: "[OPTIONS] CONTAINER"
  std::string_view summary;  ///< one line, for lists of commands
  Flags flags = {};
  Flags more_flags = {};  ///< a second table, shared between commands
  Arity arity = no_arguments;
  Action action = nullptr;
  FlagPlacement placement = FlagPlacement::Anywhere;
  std::string_view description = {};   ///< stands for the summary in the command's own help
  std::string_view second_usage = {};  ///< another form, on a line of its own
};

/// Where a name is listed in the help of its parent.
enum class Section { Common, Management, Plain, Alias };

/// A name under which a command is reached. A group (container, image, ...) has no command.
struct Entry {
  std::string_view path;  ///< words separated by one space: "container run"
  const Command* command = nullptr;
  Section section = Section::Plain;
  std::string_view group_summary = {};
};

using Tree = std::span<const Entry>;

/// The entry with exactly this path, or null.
const Entry* find(Tree tree, std::string_view path);

}  // namespace berth::cli::grammar
