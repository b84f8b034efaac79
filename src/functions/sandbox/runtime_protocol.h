// The states of a runtime as the Runtime API (2018-06-01) sees it, and the words of its answers. Pure: bytes
// and names come from inside a sandbox, which may be hostile.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace berth::functions {

enum class RuntimeState {
  Started,       ///< its process runs, it has not asked for an event
  InitError,     ///< it has said that its init failed
  Ready,         ///< it waits in /next
  Running,       ///< it has an event
  Responding,    ///< it sends the response
  ResponseSent,  ///< ... has sent it, or an error, and has not asked for more
};

/// What a runtime asks for.
enum class RuntimeCall { Next, Response, InvocationError, InitError };

/// What is answered to a call that may not be made.
struct ApiRefusal {
  int status = 0;  ///< 0: the call is allowed
  std::string body;
};

std::string_view to_string(RuntimeState state);

/// Whether the call may be made in this state. `request_id` is the one in the path, `current` that of the
/// event under way (empty: none); neither counts for Next and InitError.
ApiRefusal check_call(RuntimeState state, RuntimeCall call, std::string_view request_id,
                      std::string_view current);

/// {"errorMessage":...,"errorType":...} as the API's own errors have it.
std::string api_error(std::string_view type, std::string_view message);

/// A function's error document: {"errorType":...,"errorMessage":...}.
std::string error_document(std::string_view type, std::string_view message);

/// Lambda-Runtime-Function-Error-Type as sent, if it has the form "Runtime.X" or "Function.X" (or
/// "Extension.X"), else "Runtime.Unknown".
std::string sound_error_type(std::string_view sent);

/// How a runtime's end is told: "Runtime exited with error: exit status 1", "... signal: killed", or "Runtime
/// exited without providing a reason" for 0. `code` as berth-init reports it: 128 + n after signal n.
std::string exit_text(int code);

/// "RequestId: <id> Error: <text>"
std::string with_request_id(std::string_view request_id, std::string_view text);

/// "Task timed out after 3.00 seconds"
std::string timeout_text(uint32_t timeout_seconds);

}  // namespace berth::functions
