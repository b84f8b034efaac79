// The Runtime API, version 2018-06-01, as one sandbox is served it.
#include <algorithm>

#include "base/bytes.h"
#include "base/format.h"
#include "base/json.h"
#include "functions/sandbox/function_sandbox.h"
#include "io/http_trailers.h"

namespace berth::functions {
namespace {

constexpr std::string_view kJson = "application/json";
constexpr std::string_view kAccepted = "{\"status\":\"OK\"}\n";
constexpr std::string_view kRuntimePrefix = "/2018-06-01/runtime/";
constexpr std::string_view kInvocationPrefix = "/2018-06-01/runtime/invocation/";
constexpr size_t kReadBytes = 64u << 10;
constexpr size_t kMaxErrorBody = 256u << 10;
constexpr uint64_t kMaxReadOff = 1u << 30;

/// "id/response" -> id, "response"
std::pair<std::string_view, std::string_view> split_call(std::string_view rest) {
  size_t slash = rest.find('/');
  if (slash == rest.npos) return {rest, {}};
  return {rest.substr(0, slash), rest.substr(slash + 1)};
}

/// Field values must not hold line breaks; JSON that users gave may.
std::string one_line(std::string_view text) {
  std::string line(text);
  std::erase_if(line, [](char c) { return c == '\r' || c == '\n' || c == '\0'; });
  return line;
}

}  // namespace

/// One call of /next that waits, in the frame of its handler.
struct FunctionSandbox::NextCall {
  io::Exchange& exchange;
  io::Event wake;
  EventPtr event;
};

io::Task<void> FunctionSandbox::serve(io::Exchange& exchange) {
  std::string_view path = exchange.path();
  std::string_view method = exchange.method();
  bool post = method == "POST";
  if (method == "GET" && path == "/2018-06-01/runtime/invocation/next") {
    co_await serve_next(exchange);
    co_return;
  }
  if (post && path == "/2018-06-01/runtime/init/error") {
    co_await serve_init_error(exchange);
    co_return;
  }
  if (post && path.starts_with(kInvocationPrefix)) {
    auto [id, call] = split_call(path.substr(kInvocationPrefix.size()));
    if (call == "response") {
      std::string request_id(id);
      io::Task<void> response = serve_response(exchange, std::move(request_id));
      co_await std::move(response);
      co_return;
    }
    if (call == "error") {
      std::string request_id(id);
      io::Task<void> error = serve_error(exchange, std::move(request_id));
      co_await std::move(error);
      co_return;
    }
  }
  if (method == "GET" && (path == "/2018-06-01/ping" || path == "/test/ping")) {
    [[maybe_unused]] auto sent = co_await exchange.respond(200, "text/plain", "pong");
    co_return;
  }
  constexpr std::string_view extension_prefix = "/2020-01-01/extension/";
  if (path.starts_with(extension_prefix)) {
    co_await serve_extension(exchange, path.substr(extension_prefix.size()));
    co_return;
  }
  if (path == "/2022-07-01/telemetry" || path == "/2020-08-15/logs") {
    co_await serve_telemetry(exchange);
    co_return;
  }
  bool known = path.starts_with(kRuntimePrefix);
  std::string body = known ? api_error("MethodNotAllowed", "Method not allowed") : "404 page not found\n";
  [[maybe_unused]] auto sent =
      co_await exchange.respond(known ? 405 : 404, known ? kJson : "text/plain", body);
}

io::Task<void> FunctionSandbox::serve_next(io::Exchange& exchange) {
  // A runtime that did not get the event that was sent to it asks again.
  bool undelivered = runtime_ == RuntimeState::Running && undelivered_ && event_;
  ApiRefusal refusal = undelivered ? ApiRefusal{} : check_call(runtime_, RuntimeCall::Next, {}, {});
  if (refusal.status != 0) {
    [[maybe_unused]] auto sent = co_await exchange.respond(refusal.status, kJson, refusal.body);
    co_return;
  }
  NextCall call{.exchange = exchange, .wake = {}, .event = {}};
  // The newest caller gets the event: one before it has given up waiting, or is a thread too many.
  next_ = &call;
  if (undelivered) {
    hand_over();
  } else {
    runtime_ = RuntimeState::Ready;
    runtime_wants_more();
  }
  while (true) {
    co_await call.wake.wait();
    if (call.event) break;
    call.wake.reset();
  }
  io::Task<Result<void>> delivery = deliver(exchange, call.event);
  auto delivered = co_await std::move(delivery);
  if (!delivered) undelivered_ = true;
}

void FunctionSandbox::hand_over() {
  if (plan_.web.port != 0) {
    runtime_ = RuntimeState::Running;
    tasks_.spawn(serve_event_by_web(event_));
    return;
  }
  if (next_ == nullptr) return;
  runtime_ = RuntimeState::Running;
  undelivered_ = false;
  NextCall* call = std::exchange(next_, nullptr);
  call->event = event_;
  call->wake.set();
}

io::Task<Result<void>> FunctionSandbox::deliver(io::Exchange& exchange, EventPtr event) {
  const Invocation& invocation = event->invocation;
  exchange.set_header("Lambda-Runtime-Aws-Request-Id", event->outcome.request_id);
  exchange.set_header("Lambda-Runtime-Deadline-Ms", fmt::to_string(deadline_milliseconds(*event)));
  exchange.set_header("Lambda-Runtime-Invoked-Function-Arn", invocation.invoked_arn);
  exchange.set_header("Lambda-Runtime-Trace-Id", event->outcome.trace_header);
  if (!invocation.client_context.empty()) {
    exchange.set_header("Lambda-Runtime-Client-Context", one_line(invocation.client_context));
  }
  if (!invocation.cognito_identity.empty()) {
    exchange.set_header("Lambda-Runtime-Cognito-Identity", one_line(invocation.cognito_identity));
  }
  if (!invocation.tenant.empty()) {
    exchange.set_header("Lambda-Runtime-Aws-Tenant-Id", one_line(invocation.tenant));
  }
  auto sent = co_await exchange.respond(200, kJson, invocation.payload);
  co_return sent;
}

io::Task<Result<std::string>> FunctionSandbox::read_payload(io::Exchange& exchange, size_t limit,
                                                            bool& too_large) {
  uint64_t announced = exchange.request().content_length;
  too_large = announced > limit;
  std::string body;
  if (!too_large) body.reserve(announced);
  std::string buffer(std::clamp<uint64_t>(announced, 1024, kReadBytes), '\0');
  uint64_t size = 0;
  while (true) {
    auto count = co_await exchange.read_some({buffer.data(), buffer.size()});
    if (!count) co_return std::move(count).error();
    if (*count == 0) break;
    size += *count;
    too_large = too_large || size > limit;
    // Read off, so that the runtime, which may write all before it reads, gets to see the refusal and goes
    // on.
    if (size > kMaxReadOff) co_return Error(Kind::Exhausted, "the payload has no end");
    if (too_large) {
      std::string().swap(body);
    } else {
      body.append(buffer.data(), *count);
    }
  }
  response_size_ = size;
  co_return body;
}

io::Task<void> FunctionSandbox::serve_response(io::Exchange& exchange, std::string request_id) {
  ApiRefusal refusal = check_call(runtime_, RuntimeCall::Response, request_id,
                                  event_ ? std::string_view(event_->outcome.request_id) : std::string_view());
  std::string mode(exchange.header("Lambda-Runtime-Function-Response-Mode").value_or(""));
  if (refusal.status != 0) {
    [[maybe_unused]] auto sent = co_await exchange.respond(refusal.status, kJson, refusal.body);
    co_return;
  }
  EventPtr event = event_;
  runtime_ = RuntimeState::Responding;
  if (!mode.empty() && mode != "streaming") {
    runtime_ = RuntimeState::ResponseSent;
    answer(error_document("Runtime.InvalidResponseModeHeader", "Invalid response mode header: " + mode),
           "Unhandled", "Runtime.InvalidResponseModeHeader");
    std::string refused = api_error("InvalidResponseModeHeader", "Invalid response mode header: " + mode);
    [[maybe_unused]] auto sent = co_await exchange.respond(400, kJson, refused);
    co_return;
  }
  if (mode == "streaming" && event->invocation.stream != nullptr) {
    io::Task<void> stream = stream_response(exchange, event);
    co_await std::move(stream);
    co_return;
  }
  bool too_large = false;
  io::Task<Result<std::string>> reading = read_payload(exchange, services_.max_response_bytes, too_large);
  auto body = co_await std::move(reading);
  if (event_ != event) co_return;  // it has timed out meanwhile
  runtime_ = RuntimeState::ResponseSent;
  if (too_large) {
    std::string text =
        fmt::format("Response payload size ({} bytes) exceeded maximum allowed payload size ({} bytes).",
                    response_size_, services_.max_response_bytes);
    answer(error_document("Function.ResponseSizeTooLarge", text), "Unhandled",
           "Function.ResponseSizeTooLarge");
    std::string refused = api_error(
        "RequestEntityTooLarge",
        fmt::format("Exceeded maximum allowed payload size ({} bytes).", services_.max_response_bytes));
    [[maybe_unused]] auto sent = co_await exchange.respond(413, kJson, refused);
    co_return;
  }
  if (!body) {
    answer(error_document("Runtime.TruncatedResponse", "Response truncated"), "Unhandled",
           "Runtime.TruncatedResponse");
    std::string refused = api_error("Runtime.TruncatedResponse", "Response truncated");
    [[maybe_unused]] auto sent = co_await exchange.respond(400, kJson, refused);
    co_return;
  }
  answer(std::move(*body), {}, {});
  [[maybe_unused]] auto sent = co_await exchange.respond(202, kJson, kAccepted);
}

io::Task<void> FunctionSandbox::stream_response(io::Exchange& exchange, EventPtr event) {
  std::string content_type(exchange.header("Content-Type").value_or("application/octet-stream"));
  Result<void> written;
  {
    EventRun::Writing writing(event);
    io::Task<Result<void>> begin = event->invocation.stream->begin(content_type);
    written = co_await std::move(begin);
  }
  std::string buffer(kReadBytes, '\0');
  bool truncated = false;
  while (event_ == event) {
    auto count = co_await exchange.read_some({buffer.data(), buffer.size()});
    truncated = !count;
    if (!count || *count == 0) break;
    // A client that has gone stops nothing: the function says all it has to say.
    if (!written || event->over || event->invocation.stream == nullptr) continue;
    EventRun::Writing writing(event);
    io::Task<Result<void>> write = event->invocation.stream->write({buffer.data(), *count});
    written = co_await std::move(write);
  }
  if (event_ != event) co_return;
  runtime_ = RuntimeState::ResponseSent;
  std::string error_type = io::trailer_of(exchange, "Lambda-Runtime-Function-Error-Type");
  if (truncated) {
    answer(error_document("Runtime.TruncatedResponse", "Response truncated"), "Unhandled",
           "Runtime.TruncatedResponse");
  } else if (!error_type.empty()) {
    auto details = from_base64(io::trailer_of(exchange, "Lambda-Runtime-Function-Error-Body"));
    std::string type = sound_error_type(error_type);
    answer(details && !details->empty() ? *details : error_document(type, "the stream ended with an error"),
           "Unhandled", type);
  } else {
    answer({}, {}, {});
  }
  [[maybe_unused]] auto sent = co_await exchange.respond(202, kJson, kAccepted);
}

io::Task<void> FunctionSandbox::serve_error(io::Exchange& exchange, std::string request_id) {
  ApiRefusal refusal = check_call(runtime_, RuntimeCall::InvocationError, request_id,
                                  event_ ? std::string_view(event_->outcome.request_id) : std::string_view());
  if (refusal.status != 0) {
    [[maybe_unused]] auto sent = co_await exchange.respond(refusal.status, kJson, refusal.body);
    co_return;
  }
  EventPtr event = event_;
  runtime_ = RuntimeState::Responding;
  std::string type = sound_error_type(exchange.header("Lambda-Runtime-Function-Error-Type").value_or(""));
  bool too_large = false;
  io::Task<Result<std::string>> reading = read_payload(exchange, services_.max_response_bytes, too_large);
  auto body = co_await std::move(reading);
  if (event_ != event) co_return;
  runtime_ = RuntimeState::ResponseSent;
  std::string payload = body && !too_large ? std::move(*body) : std::string();
  if (payload.empty()) payload = error_document(type, "Unknown");
  answer(std::move(payload), "Unhandled", type);
  [[maybe_unused]] auto sent = co_await exchange.respond(202, kJson, kAccepted);
}

io::Task<void> FunctionSandbox::serve_init_error(io::Exchange& exchange) {
  ApiRefusal refusal = check_call(runtime_, RuntimeCall::InitError, {}, {});
  if (refusal.status != 0) {
    [[maybe_unused]] auto sent = co_await exchange.respond(refusal.status, kJson, refusal.body);
    co_return;
  }
  runtime_ = RuntimeState::InitError;
  std::string type = sound_error_type(exchange.header("Lambda-Runtime-Function-Error-Type").value_or(""));
  bool too_large = false;
  io::Task<Result<std::string>> reading = read_payload(exchange, kMaxErrorBody, too_large);
  auto body = co_await std::move(reading);
  std::string payload = body && !too_large && !body->empty() ? *body : error_document(type, "Unknown");
  [[maybe_unused]] auto sent = co_await exchange.respond(202, kJson, kAccepted);
  init_fail({.type = type, .payload = std::move(payload), .text = {}});
}

}  // namespace berth::functions
