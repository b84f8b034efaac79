// Lexer: splits the source of a template into text and the tokens inside {{ }}.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace berth::cli::gotemplate {

struct Token {
  enum class Kind {
    Text,
    Open,   ///< {{
    Close,  ///< }}
    Space,
    Field,  ///< .Name
    Dot,
    Variable,    ///< $ or $name
    Identifier,  ///< function, keyword, true, false, nil
    String,      ///< quoted, with its quotes
    RawString,   ///< in backquotes, with them
    Character,   ///< 'x', with its quotes
    Number,
    Pipe,     ///< |
    Declare,  ///< :=
    Assign,   ///< =
    Comma,
    LeftParenthesis,
    RightParenthesis,
    End,  ///< end of the source
  };
  Kind kind = Kind::End;
  size_t position = 0;
  std::string text;
};

struct LexError {
  size_t position = 0;
  std::string message;
};

/// All tokens up to End; comments and trimmed space are gone. On failure the message is Go's ("unclosed
/// action").
std::expected<std::vector<Token>, LexError> split_tokens(std::string_view source);

}  // namespace berth::cli::gotemplate
