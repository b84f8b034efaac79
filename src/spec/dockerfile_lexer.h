// The lexical half of the Dockerfile parser: from one logical line to keyword, flags and arguments. Used by
// the parser alone.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "spec/dockerfile.h"

namespace berth::spec::dockerfile {

/// The space characters between arguments (BuildKit: tab, vertical tab, form feed, carriage return, space).
bool is_blank(char c);
std::string_view trim(std::string_view text);
std::string lower(std::string_view text);
std::string upper(std::string_view text);

struct CommandParts {
  std::string keyword;
  std::vector<std::string> flags;  ///< "--from=x", unquoted
  std::string arguments;           ///< trimmed
};
CommandParts split_command(std::string_view line, char escape);

/// Words with their quotes still in place.
std::vector<std::string> split_words(std::string_view text, char escape);
/// At runs of blanks; quotes mean nothing.
std::vector<std::string> split_blanks(std::string_view text);
/// "a=b c=d", or the legacy "a b c". `keyword` is for messages.
Result<std::vector<KeyValue>> split_key_values(std::string_view text, std::string_view keyword, char escape);

/// The list of a JSON array of strings; none when the text is no JSON array (then it is shell form); an array
/// of something else: InvalidArgument.
Result<std::optional<std::vector<std::string>>> json_form(std::string_view text);

/// The heredocs that a line opens, without content.
std::vector<Heredoc> find_heredocs(std::string_view line);
/// One word such as "<<EOF" or "3<<-'EOF'".
std::optional<Heredoc> parse_heredoc_word(std::string_view word);

/// Flags of an instruction: each getter takes its own out, finish() refuses what is left.
class FlagReader {
 public:
  explicit FlagReader(const std::vector<std::string>& flags) : flags_(flags) {}
  std::string text(std::string_view name);
  std::vector<std::string> texts(std::string_view name);
  std::optional<bool> boolean(std::string_view name);
  /// The first thing wrong: unknown (with a suggestion), repeated, or without value.
  Result<void> finish() const;

 private:
  enum class Type { Text, List, Boolean };
  struct Known {
    std::string name;
    Type type;
  };
  std::vector<std::string> values_of(std::string_view name) const;
  const std::vector<std::string>& flags_;
  std::vector<Known> known_;
};

/// Builds the typed instruction of a lexed line.
struct LexedLine {
  std::string line;
  CommandParts parts;
  std::vector<Heredoc> heredocs;
};
Result<InstructionBody> parse_body(const LexedLine& lexed, char escape);
/// Whether the instruction can be followed by heredocs: RUN, COPY, ADD (also after ONBUILD) not in JSON form.
Result<bool> takes_heredocs(const CommandParts& parts, char escape);

}  // namespace berth::spec::dockerfile
