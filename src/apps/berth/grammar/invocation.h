// Invocation: a command line that has been read: the flags that were given and the arguments.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "apps/berth/grammar/command.h"

namespace berth::cli::grammar {

class Invocation {
 public:
  Invocation(const Command& command, std::string path) : command_(&command), path_(std::move(path)) {}

  const Command& command() const { return *command_; }
  /// As typed: "container run".
  const std::string& path() const { return path_; }
  const std::vector<std::string>& arguments() const { return arguments_; }
  const std::string& argument(size_t index) const { return arguments_[index]; }

  /// True when the flag stands on the command line, whatever its value.
  bool given(std::string_view name) const { return find(name) != nullptr; }
  bool on(std::string_view name) const;
  /// The last value, or the flag's fallback.
  std::string text(std::string_view name) const;
  /// All values in order; none when the flag was not given.
  std::vector<std::string> list(std::string_view name) const;
  /// Int, Uint16: the number. Bytes, SwapBytes: bytes. Decimal: billionths. Duration: nanoseconds. 0 without
  /// value.
  int64_t number(std::string_view name) const;

  /// For the parser and for tests.
  void add(const Flag& flag, std::string value);
  void add_argument(std::string argument) { arguments_.push_back(std::move(argument)); }
  /// The declared flag; null when the command does not have it.
  const Flag* declared(std::string_view name) const;

 private:
  struct Given {
    const Flag* flag;
    std::vector<std::string> values;
  };
  const Given* find(std::string_view name) const;

  const Command* command_;
  std::string path_;
  std::vector<std::string> arguments_;
  std::vector<Given> given_;
};

/// Reads flags and arguments by docker's (pflag's) rules: --name value, --name=value, -nvalue, -n=value,
/// clusters of letters, "--" ends the flags. The error is pflag's sentence ("unknown flag: --bad").
class Parser {
 public:
  enum class Verdict { Run, Help };

  explicit Parser(Invocation& invocation) : invocation_(invocation) {}
  Result<Verdict> parse(std::span<const char* const> words);
  /// How many words were read before the first argument; meaningful with FlagPlacement::BeforeArguments.
  size_t consumed() const { return consumed_; }

 private:
  Result<void> long_flag(std::string_view word);
  Result<void> short_flags(std::string_view word);
  Result<void> set(const Flag& flag, std::string_view value);
  std::optional<std::string_view> next();

  Invocation& invocation_;
  std::span<const char* const> rest_;
  size_t consumed_ = 0;
  bool help_ = false;
};

/// docker's sentence when the number of arguments does not fit ("'berth rm' requires at least 1 argument").
std::optional<std::string> arity_complaint(const Invocation& invocation, std::string_view program);

}  // namespace berth::cli::grammar
