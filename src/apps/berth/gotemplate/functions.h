// The functions a template can call.
#pragma once

#include <string_view>
#include <vector>

#include "apps/berth/gotemplate/template.h"

namespace berth::cli::gotemplate {

/// What went wrong in a call, in Go's terms.
struct CallError {
  enum class Where {
    Call,      ///< reported at the whole call: `error calling index: ...`
    Argument,  ///< reported at argument number `argument`: `expected string; found 5`
    Count,     ///< reported at the function's name: `wrong number of args ...`
  };
  Where where = Where::Call;
  size_t argument = 0;
  std::string message;
};

/// Calls any function but `and` and `or`, which the evaluator short-circuits.
std::expected<Value, CallError> call(std::string_view name, const std::vector<Value>& arguments,
                                     FunctionSet set);
/// Go's fmt.Sprintf.
std::string print_formatted(std::string_view format, const std::vector<Value>& arguments);

}  // namespace berth::cli::gotemplate
