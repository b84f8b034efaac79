// Answers of the Runtime API.
#include "functions/sandbox/runtime_protocol.h"

#include <algorithm>

#include "base/format.h"
#include "base/json.h"

namespace berth::functions {
namespace {

constexpr size_t kMaxErrorType = 256;

/// As the runtime emulator spells them.
std::string_view target_of(RuntimeCall call) {
  switch (call) {
    case RuntimeCall::Next:
      return "Ready";
    case RuntimeCall::Response:
    case RuntimeCall::InvocationError:
      return "InvocationResponse";
    case RuntimeCall::InitError:
      return "InitError";
  }
  return "";
}

bool is_allowed(RuntimeState state, RuntimeCall call) {
  switch (call) {
    case RuntimeCall::Next:
      return state == RuntimeState::Started || state == RuntimeState::Ready ||
             state == RuntimeState::ResponseSent;
    case RuntimeCall::Response:
    case RuntimeCall::InvocationError:
      return state == RuntimeState::Running;
    case RuntimeCall::InitError:
      return state == RuntimeState::Started;
  }
  return false;
}

/// Go's names, which AWS prints.
std::string signal_name(int signal) {
  switch (signal) {
    case 1:
      return "hangup";
    case 2:
      return "interrupt";
    case 3:
      return "quit";
    case 4:
      return "illegal instruction";
    case 5:
      return "trace/breakpoint trap";
    case 6:
      return "aborted";
    case 7:
      return "bus error";
    case 8:
      return "floating point exception";
    case 9:
      return "killed";
    case 10:
      return "user defined signal 1";
    case 11:
      return "segmentation fault";
    case 12:
      return "user defined signal 2";
    case 13:
      return "broken pipe";
    case 14:
      return "alarm clock";
    case 15:
      return "terminated";
    case 31:
      return "bad system call";
    default:
      return {};
  }
}

}  // namespace

std::string_view to_string(RuntimeState state) {
  switch (state) {
    case RuntimeState::Started:
      return "Started";
    case RuntimeState::InitError:
      return "InitError";
    case RuntimeState::Ready:
      return "Ready";
    case RuntimeState::Running:
      return "Running";
    case RuntimeState::Responding:
      return "InvocationResponse";
    case RuntimeState::ResponseSent:
      return "ResponseSent";
  }
  return "";
}

std::string api_error(std::string_view type, std::string_view message) {
  return to_json(Json{{"errorMessage", message}, {"errorType", type}}) + "\n";
}

ApiRefusal check_call(RuntimeState state, RuntimeCall call, std::string_view request_id,
                      std::string_view current) {
  bool about_event = call == RuntimeCall::Response || call == RuntimeCall::InvocationError;
  if (about_event && (request_id != current || current.empty())) {
    return {400, api_error("InvalidRequestID", "Invalid request ID")};
  }
  if (is_allowed(state, call)) return {};
  return {403, api_error("InvalidStateTransition",
                         fmt::format(
                             "State transition from {} to {} failed for runtime. Error: State transition is "
                             "not allowed",
                             to_string(state), target_of(call)))};
}

std::string error_document(std::string_view type, std::string_view message) {
  return to_json(Json{{"errorType", type}, {"errorMessage", message}});
}

std::string sound_error_type(std::string_view sent) {
  size_t dot = sent.find('.');
  bool known = dot != sent.npos && (sent.substr(0, dot) == "Runtime" || sent.substr(0, dot) == "Function" ||
                                    sent.substr(0, dot) == "Extension");
  auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  std::string_view rest = known ? sent.substr(dot + 1) : std::string_view();
  bool sound = !rest.empty() && rest.size() <= kMaxErrorType && rest[0] >= 'A' && rest[0] <= 'Z' &&
               std::all_of(rest.begin(), rest.end(), plain);
  return sound ? std::string(sent) : std::string("Runtime.Unknown");
}

std::string exit_text(int code) {
  if (code == 0) return "Runtime exited without providing a reason";
  if (code > 128) {
    std::string name = signal_name(code - 128);
    if (!name.empty()) return "Runtime exited with error: signal: " + name;
  }
  return fmt::format("Runtime exited with error: exit status {}", code);
}

std::string with_request_id(std::string_view request_id, std::string_view text) {
  return fmt::format("RequestId: {} Error: {}", request_id, text);
}

std::string timeout_text(uint32_t timeout_seconds) {
  return fmt::format("Task timed out after {}.00 seconds", timeout_seconds);
}

}  // namespace berth::functions
