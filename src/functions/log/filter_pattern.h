// CloudWatch Logs' filter patterns: words ("ERROR -harmless ?a ?b \"a phrase\""), JSON ("{ $.level =
// \"ERROR\" &&
// $.took > 100 }") and columns ("[ip, user, ..., status = 4*, size > 1000]"). Pure; patterns and messages
// come from outside. Regular expressions (%...%) are refused: they could take any time.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace berth::functions {

class FilterPattern {
 public:
  /// At most 1,024 bytes, as AWS has it; the empty pattern matches everything. InvalidArgument says what was
  /// expected and where.
  static Result<FilterPattern> parse(std::string_view text);

  bool matches(std::string_view message) const;

  struct Condition;
  struct Expression;

 private:
  enum class Form { Words, Json, Columns };
  Form form_ = Form::Words;
  std::vector<std::string> all_, any_, none_;
  std::shared_ptr<const Expression> expression_;  ///< null: everything
  size_t columns_ = 0;                            ///< without the ellipsis
  size_t before_ellipsis_ = 0;
  bool ellipsis_ = false;

  friend class FilterParser;
};

}  // namespace berth::functions
