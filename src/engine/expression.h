// Expression: a regular expression of a client's, in the syntax that docker's have (Go's, which is RE2's). It
// takes time in proportion to the text, whatever the expression, and its memory is bounded.
#pragma once

#include <memory>
#include <string_view>

#include "base/result.h"

namespace re2 {
class RE2;
}

namespace berth::engine {

class Expression {
 public:
  /// InvalidArgument, in Go's words: it is none, or too large.
  static Result<Expression> compile(std::string_view text);

  Expression(Expression&&) noexcept;
  Expression& operator=(Expression&&) noexcept;
  ~Expression();

  /// Whether it matches anywhere in `text`.
  bool matches(std::string_view text) const;

 private:
  explicit Expression(std::unique_ptr<re2::RE2> compiled);

  std::unique_ptr<re2::RE2> compiled_;
};

}  // namespace berth::engine
