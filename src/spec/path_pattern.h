// PathPattern: one pattern of Go's filepath.Match or of .dockerignore, compiled and matched as a set of
// states.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace berth::spec {

class PathPattern {
 public:
  enum class Dialect {
    Match,   ///< filepath.Match: '*' never crosses '/'
    Ignore,  ///< .dockerignore: "**" crosses any number of elements
  };
  /// Malformed: InvalidArgument "syntax error in pattern".
  static Result<PathPattern> compile(std::string_view pattern, Dialect dialect);

  bool matches(std::string_view path) const;
  /// True when the pattern is plain text without any wildcard or escape.
  bool is_literal() const { return literal_; }

 private:
  struct Token {
    enum class Type : uint8_t {
      Character,
      Class,
      AnyOne,         ///< '?': one character, not '/'
      AnyRun,         ///< '*': any characters but '/'
      AnyPath,        ///< "**" at the end: anything
      AnyDirectories  ///< "**/": nothing, or anything that ends in '/'
    } type;
    char32_t code = 0;
    bool negated = false;
    std::vector<std::pair<char32_t, char32_t>> ranges = {};
  };
  static bool consumes(const Token& token, char32_t c);
  void activate(std::vector<char>& states, size_t state) const;

  std::vector<Token> tokens_;
  std::string text_;
  std::string suffix_;  ///< "**text": everything that ends so
  bool literal_ = false;
  bool by_suffix_ = false;
};

}  // namespace berth::spec
