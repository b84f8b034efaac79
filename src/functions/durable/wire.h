// Operations as JSON: in the event that a handler is called with (times in milliseconds), and in the API's
// answers (in seconds); and what a handler answers. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/json_fwd.h"
#include "base/result.h"
#include "functions/durable/records.h"

namespace berth::functions::durable {

enum class Times { Milliseconds, Seconds };

Json operation_json(const Operation& operation, Times times);
/// The execution as the first of its operations, which brings the input.
Json execution_json(const Execution& execution, std::string_view input, Times times);

/// {"Status": "SUCCEEDED" | "FAILED" | "PENDING", "Result": "...", "Error": {...}}
struct HandlerOutput {
  enum class Status { Succeeded, Failed, Pending } status = Status::Pending;
  std::optional<std::string> result;
  std::string error;  ///< JSON of the ErrorObject; empty: none
};
/// InvalidArgument: the handler does not speak as durable functions do.
Result<HandlerOutput> parse_output(std::string_view text);

/// {"ErrorMessage": message, "ErrorType": type}; an empty type is left out.
std::string error_object(std::string_view message, std::string_view type = {});
/// Takes what belongs to an ErrorObject from `value`, which may be anything. InvalidArgument: a member is of
/// another type.
Result<std::string> read_error_object(const Json& value);
/// Of a function that failed as functions do: {"errorMessage", "errorType", "stackTrace"}.
std::string error_of_function(std::string_view payload);
/// And back: what a client that waited is told.
std::string error_for_client(std::string_view error_object);

}  // namespace berth::functions::durable
