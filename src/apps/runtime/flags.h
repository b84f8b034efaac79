// Command lines as the callers of OCI runtimes write them: "--flag value", "--flag=value", "-f value"; flags
// stand before or behind the arguments, "--" ends them.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace berth::runtime {

enum class FlagKind { Switch, Value, List };

struct Flag {
  std::string_view name;
  FlagKind kind = FlagKind::Value;
  char letter = 0;
};

/// A file that the caller names: also a pipe, as shells make of <(...).
Result<std::string> read_given_file(const std::string& path, size_t max_size);

class CommandLine {
 public:
  enum class Order {
    Anywhere,    ///< flags also behind arguments, as runc takes them
    FlagsFirst,  ///< the first word that is no flag ends them: what follows is another program's affair
  };
  /// Takes the flags of `known` out of `words`. InvalidArgument: unknown flag, missing value.
  static Result<CommandLine> parse(std::span<const std::string> words, std::span<const Flag> known,
                                   Order order = Order::Anywhere);

  bool has(std::string_view flag) const { return values_.contains(flag); }
  /// A switch that is given and not "=false".
  bool on(std::string_view flag) const;
  /// The last value given; empty when none is.
  std::string text(std::string_view flag) const;
  std::vector<std::string> list(std::string_view flag) const;
  /// A whole number; InvalidArgument names the flag.
  Result<int64_t> number(std::string_view flag, int64_t fallback) const;
  const std::vector<std::string>& arguments() const { return arguments_; }
  /// The n-th argument; InvalidArgument says which one is missing.
  Result<std::string> argument(size_t n, std::string_view what) const;

 private:
  std::map<std::string, std::vector<std::string>, std::less<>> values_;
  std::vector<std::string> arguments_;
};

}  // namespace berth::runtime
