// Word expansion as Dockerfiles have it: quotes, escapes, $name and ${name...} with its modifiers, and
// splitting into words. Follows BuildKit's lexer where POSIX shells differ. Pure and bounded: hostile input
// ends in an error, never in unbounded memory, time or recursion.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace berth::spec {

/// Gives a variable's value; none: it is not set.
using VariableLookup = std::function<std::optional<std::string>(std::string_view name)>;

enum class Quotes {
  Remove,   ///< process and drop them
  Keep,     ///< process and leave them in the result
  Literal,  ///< ordinary characters (heredoc bodies)
};
enum class Escapes { Remove, Keep };
enum class Unset {
  Empty,  ///< $name becomes ""
  Keep,   ///< $name stays as written
};

struct ShellWordsOptions {
  char escape = '\\';  ///< or '`'
  Quotes quotes = Quotes::Remove;
  Escapes escapes = Escapes::Remove;
  Unset unset = Unset::Empty;
  size_t max_output = 4u << 20;  ///< bytes
  size_t max_depth = 64;         ///< of ${a:-${b:-...}}
};

struct Expansion {
  std::string text;                ///< as one word
  std::vector<std::string> words;  ///< split at unquoted space, after expansion
  std::set<std::string> matched;   ///< variables that were looked up and set
  std::set<std::string> unmatched;
};

/// Malformed: InvalidArgument in BuildKit's words ("failed to process "${x": syntax error: missing '}'").
Result<Expansion> expand_words(std::string_view source, const VariableLookup& lookup,
                               const ShellWordsOptions& options = {});

/// expand_words().text
Result<std::string> expand_word(std::string_view source, const VariableLookup& lookup,
                                const ShellWordsOptions& options = {});

/// What ${name#pattern} and its kin match with: '*', '?' and backslash escapes.
enum class Trim { Prefix, Suffix };
enum class Greed { Shortest, Longest };
Result<std::string> trim_pattern(std::string_view value, std::string_view pattern, Trim side, Greed greed);
enum class Occurrences { First, All };
Result<std::string> replace_pattern(std::string_view value, std::string_view pattern,
                                    std::string_view replacement, Occurrences occurrences);

}  // namespace berth::spec
